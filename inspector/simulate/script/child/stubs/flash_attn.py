"""``flash_attn``'s functions by the kernel that PyTorch carries a copy of: they save and allocate the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.simulate.device.attention import flash, has_flash_attention
from inspector.simulate.script.child.errors import emulated

if TYPE_CHECKING:
    import torch

    from inspector.simulate.device.questions import Device

_devices: list[Device] = []


def on(device: Device) -> None:
    """The device that the kernels run on."""
    _devices[:] = [device]


def flash_attn_func(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    alibi_slopes: object = None,
    deterministic: bool = False,
    return_attn_probs: bool = False,
) -> Any:
    """Batches of rows of one length: (batch, length, heads, size)."""
    del window_size, softcap, alibi_slopes, deterministic, return_attn_probs
    if not _devices[0].ask(has_flash_attention):
        raise emulated(RuntimeError("FlashAttention only supports Ampere GPUs or newer."))
    out = flash(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), dropout_p, causal, softmax_scale)
    return out.transpose(1, 2)


def flash_attn_varlen_func(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    cu_seqlens_q: object = None,
    cu_seqlens_k: object = None,
    max_seqlen_q: object = None,
    max_seqlen_k: object = None,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    **_: object,
) -> Any:
    """Rows of several lengths in one: (tokens, heads, size); memory goes by the tokens."""
    del cu_seqlens_q, cu_seqlens_k, max_seqlen_q, max_seqlen_k
    return flash_attn_func(q[None], k[None], v[None], dropout_p, softmax_scale, causal)[0]


def flash_attn_with_kvcache(q: torch.Tensor, k_cache: torch.Tensor, v_cache: torch.Tensor, **_: object) -> Any:
    """Generation with a cache that is there."""
    return flash_attn_func(q, k_cache, v_cache)


def index_first_axis(rows: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """``flash_attn.bert_padding.IndexFirstAxis``: rows gathered, by a gradient that scatters them."""
    return rows.index_select(0, indices)


def unpad_input(hidden: torch.Tensor, mask: torch.Tensor, unused_mask: torch.Tensor | None = None) -> Any:
    """``flash_attn.bert_padding.unpad_input``: the real tokens of a padded batch in one row."""
    import torch

    every = mask if unused_mask is None else mask + unused_mask
    lengths = every.sum(dim=-1, dtype=torch.int32)
    used = mask.sum(dim=-1, dtype=torch.int32)
    indices = torch.nonzero(every.flatten(), as_tuple=False).flatten()
    longest = lengths.max().item()
    starts = torch.nn.functional.pad(torch.cumsum(lengths, dim=0, dtype=torch.int32), (1, 0))
    return index_first_axis(hidden.flatten(0, 1), indices), indices, starts, longest, used


def pad_input(hidden: torch.Tensor, indices: torch.Tensor, batch: int, length: int) -> torch.Tensor:
    """``flash_attn.bert_padding.pad_input``: back into a batch of rows."""
    out = hidden.new_zeros((batch * length, *hidden.shape[1:]))
    return out.index_put((indices,), hidden).view(batch, length, *hidden.shape[1:])
