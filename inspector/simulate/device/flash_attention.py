"""Transformers' ``flash_attention_2`` without the package, by the kernel that PyTorch carries a copy of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.device.attention import flash

if TYPE_CHECKING:
    from torch import nn


def flash_attention_2(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: object,
) -> tuple[Any, None]:
    """Transformers' ``flash_attention_2``: the flash-attn package's kernel, which PyTorch carries a copy of.

    Source: transformers/integrations/flash_attention.py, ``flash_attention_forward`` (float32 is cast to the dtype the
    layer computes in; no mask is passed when nothing is padded); flash-attn's ``FlashAttnFunc`` saves what PyTorch's
    ``_scaled_dot_product_flash_attention`` saves.
    """
    from transformers.integrations.flash_attention import get_target_dtype

    if (target := get_target_dtype(query, module)) is not None:
        query, key, value = query.to(target), key.to(target), value.to(target)
    causal = getattr(module, "is_causal", True)
    # Transformers hands a mask on only where something is padded (``flash_attention_mask``).
    if attention_mask is not None:
        return _unpadded(query, key, value, dropout, causal, scaling), None
    return flash(query, key, value, dropout, causal, scaling).transpose(1, 2), None


def _unpadded(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout: float, causal: bool, scaling: float | None
) -> Any:
    """With padding, real tokens are gathered before the kernel and scattered after (``_upad_input``, ``pad_input``)."""
    batch, heads, length, size = query.shape
    tokens = torch.empty(batch * length, dtype=torch.int64, device=query.device)

    def gather(tensor: torch.Tensor) -> Any:
        flat = tensor.transpose(1, 2).reshape(batch * length, tensor.size(1), size)
        return flat.index_select(0, tokens).view(batch, length, tensor.size(1), size).transpose(1, 2)

    # As many rows as there are, padding and all: how many are real is data, and this is the most.
    out = flash(gather(query), gather(key), gather(value), dropout, causal, scaling)
    flat = out.transpose(1, 2).reshape(batch * length, heads, size)
    return torch.zeros_like(flat).index_put((tokens,), flat).view(batch, length, heads, size)


def known_to_transformers() -> dict[str, Any]:
    """For `inspector.patched.patched`: `flash_attention_2` above, and the masks flash-attn wants, by a name of ours.

    A model takes them by ``model.set_attn_implementation(FLASH_ATTENTION_2)``, without the package.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import flash_attention_mask

    functions, masks = AttentionInterface._global_mapping, AttentionMaskInterface._global_mapping
    return {
        "transformers.modeling_utils.AttentionInterface._global_mapping": {
            **functions, FLASH_ATTENTION_2: flash_attention_2,
        },
        "transformers.masking_utils.AttentionMaskInterface._global_mapping": {
            **masks, FLASH_ATTENTION_2: flash_attention_mask,
        },
    }  # fmt: skip


FLASH_ATTENTION_2 = "inspector_fa2"
"""Its name among transformers' attention functions; one with "flash" in it would have the package imported."""
