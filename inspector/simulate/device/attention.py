"""Scaled dot-product attention as CUDA would dispatch it: which backend, what it saves, what it needs for a while.

Source: aten/src/ATen/native/transformers/cuda/sdp_utils.cpp (the choice), attention.cpp
(``scaled_dot_product_attention``), cuda/attention.cu and cuda/attention_backward.cu (what the kernels allocate).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.error_origin import runs_operators
from inspector.simulate.device.autograd_in_place import masking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inspector.simulate.device.questions import Chip, Device

aten = torch.ops.aten

EVERY_BACKEND = frozenset({"cudnn", "flash", "efficient", "math"})


def sdpa_for(
    device: Device, forced: str = "", allowed: Callable[[], frozenset[str]] | None = None
) -> Callable[..., Any]:
    """The decomposition of ``aten::scaled_dot_product_attention`` on a device.

    ``forced`` pins one backend (``efficient``, ``flash``, ``math``) as ``torch.nn.attention.sdpa_kernel`` does;
    grouped keys and values are then repeated first where the backend does not take them. ``allowed`` says at each call
    which are switched on.
    """

    def sdpa(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        *,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Any:
        # The backend itself refuses grouped keys; a script that pins it repeats them, so as to run at all.
        if forced == "efficient" and key.size(-3) != query.size(-3):
            groups = query.size(-3) // key.size(-3)
            key, value = key.repeat_interleave(groups, dim=-3), value.repeat_interleave(groups, dim=-3)
        backend = forced or choose(
            device, query, key, value, attn_mask, enable_gqa=enable_gqa, dropout=dropout_p, is_causal=is_causal,
            allowed=EVERY_BACKEND if allowed is None else allowed(),
        )  # fmt: skip
        # The math backend takes booleans as they are; the kernels add what they are given.
        if attn_mask is not None and attn_mask.dtype == torch.bool and backend != "math":
            attn_mask = _float_mask(attn_mask, query.dtype)
        if backend == "cudnn":
            # Row sums are kept for the backward pass alone: without one, the kernel makes none.
            saves = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
            return aten._scaled_dot_product_cudnn_attention(
                query, key, value, attn_mask, saves, dropout_p, is_causal, False, scale=scale
            )[0]
        if backend == "flash":
            return flash(query, key, value, dropout_p, is_causal, scale)
        if backend == "efficient":
            mask = None if attn_mask is None else _pad_mask(attn_mask).expand(*query.shape[:-1], key.size(-2))
            saves = torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value))
            return aten._scaled_dot_product_efficient_attention(
                query, key, value, mask, saves, dropout_p, is_causal, scale=scale
            )[0]
        return _math(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)

    return sdpa


@runs_operators
def _math(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout_p: float,
    causal: bool,
    scale: float | None,
    gqa: bool,
) -> Any:
    with masking():
        return aten._scaled_dot_product_attention_math(
            query, key, value, mask, dropout_p, causal, None, scale=scale, enable_gqa=gqa
        )[0]


def sdpa_on_cpu(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """The same on a CPU: its own flash kernel without dropout, else math.

    Source: aten/src/ATen/native/transformers/sdp_utils_cpp.cpp, ``use_flash_attention_cpp``.
    """
    usable = query.dim() == 4 and query.size(-1) == value.size(-1) and not dropout_p
    usable = usable and (enable_gqa or query.size(1) == key.size(1))
    if not usable or (attn_mask is not None and attn_mask.requires_grad):
        return _math(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        attn_mask = _float_mask(attn_mask, query.dtype)
    return aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale
    )[0]


@dataclass(frozen=True, slots=True)
class AttentionCall:
    """What the choice of a backend looks at. Sizes are those of a head, lengths of a sequence."""

    dtype: torch.dtype
    sizes: tuple[int, int]
    lengths: tuple[int, int]
    heads: tuple[int, int]
    masked: bool
    trained: bool
    enable_gqa: bool
    is_causal: bool
    dropout: float


def choose(  # noqa: PLR0913 -- what the choice looks at
    device: Device, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, *,
    enable_gqa: bool, dropout: float = 0.0, is_causal: bool = False, allowed: frozenset[str] = EVERY_BACKEND,
) -> str:  # fmt: skip
    """The backend that takes these tensors on a device: ``cudnn``, ``flash``, ``efficient`` or ``math``.

    Raises PyTorch's own error where none of those that are ``allowed`` does.
    """
    # Fused kernels want batch and heads apart (``check_tensor_shapes``).
    if query.dim() != 4:
        return "math"
    call = AttentionCall(
        dtype=query.dtype,
        sizes=(query.size(-1), value.size(-1)),
        lengths=(query.size(-2), key.size(-2)),
        heads=(query.size(-3), key.size(-3)),
        masked=mask is not None,
        trained=torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (query, key, value)),
        enable_gqa=enable_gqa,
        is_causal=is_causal,
        dropout=dropout,
    )
    if allowed == EVERY_BACKEND:
        return device.ask(backend_for, call)
    if not (found := device.ask(backend_among, call, allowed)):
        # aten/src/ATen/native/transformers/cuda/sdp_utils.cpp, ``select_sdp_backend``.
        raise RuntimeError("No available kernel. Aborting execution.")
    return found


def backend_among(chip: Chip, call: AttentionCall, allowed: frozenset[str], /) -> str:
    """The first usable of those that are switched on; "" for none."""
    return next((name for name in _backends(chip, call) if name in allowed), "")


def backend_for(chip: Chip, call: AttentionCall, /) -> str:
    """The first usable of all."""
    return next(_backends(chip, call))


def _backends(chip: Chip, call: AttentionCall) -> Iterator[str]:
    """Those usable of flash, memory-efficient, math, in the order of ``_fused_sdp_choice_cuda``.

    On Hopper and data-centre Blackwell cuDNN comes before them (``check_prefer_cudnn_attention``, cuDNN 9.15.1).
    Flash takes no mask, half precision only, head sizes up to 256 and grouped keys; it needs Ampere. Memory-efficient
    takes any floating dtype but no grouped keys, and neither takes fewer keys' heads than queries' unless it is told
    (until pull request 191085, of July 2026).
    """
    capability, sizes = chip.capability, call.sizes
    half = call.dtype in {torch.float16, torch.bfloat16}
    if half and capability in {(9, 0), (10, 0), (10, 3)} and _cudnn_takes(sizes, call.lengths[1], call.dropout):
        yield "cudnn"
    square = not call.is_causal or call.lengths[0] == call.lengths[1]
    fewer = call.heads[0] != call.heads[1]
    if fewer and not call.enable_gqa:
        yield "math"
        return
    if half and not call.masked and capability >= (8, 0) and sizes[0] == sizes[1] and square:  # noqa: SIM102
        if _flash_takes(capability, sizes[0], call.dropout, trained=call.trained):
            yield "flash"
    bf16_on_old = call.dtype is torch.bfloat16 and capability < (8, 0)
    aligned = not any(size % _alignment(capability, half=half) for size in sizes)
    if not fewer and not bf16_on_old and call.dtype is not torch.float64 and aligned:
        yield "efficient"
    yield "math"


def _cudnn_takes(sizes: tuple[int, int], keys: int, dropout: float) -> bool:
    """``check_cudnn_tensor_shapes`` and ``check_cudnn_dropout``: heads up to 128, or DeepSeek's 192 and 128."""
    known = max(sizes) <= 128 or sizes == (192, 128)
    return known and not any(size % 8 for size in sizes) and keys != 1 and (dropout * 16).is_integer()


def has_flash_attention(chip: Chip, /) -> bool:
    """Whether the ``flash_attn`` package runs at all: "FlashAttention only supports Ampere GPUs or newer"."""
    return chip.capability >= (8, 0)


def _flash_takes(capability: tuple[int, int], size: int, dropout: float, *, trained: bool) -> bool:
    """Heads up to 256; cards with less shared memory cannot train some above 192.

    Source: ``check_requires_grad_and_head_dim_gt192_constraints_on_sm86_89_or_120``.
    """
    if trained and ((8, 6) <= capability <= (8, 9) or capability[0] == 12):
        return size <= 192 or (224 < size <= 256 and not dropout)
    return size <= 256


def _alignment(capability: tuple[int, int], *, half: bool) -> int:
    """Elements that memory-efficient attention wants a head to be a multiple of (``minimum_gemm_alignment``)."""
    if half:
        # 128 bits at once where tensor cores multiply: eight halves, or four float32 from Ampere on.
        return 8 if capability >= (7, 0) else 1
    return 4 if capability >= (8, 0) else 1


def flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, dropout_p: float, is_causal: bool, scale: float | None
) -> Any:
    """Head sizes are padded to a multiple of 8 before the flash kernel (``pad_last_dim``)."""
    size = query.size(-1)
    if size % 8:
        pad = 8 - size % 8
        query, key, value = (torch.nn.functional.pad(t, (0, pad)) for t in (query, key, value))
        # Of the size before padding, else zeros would count as features.
        scale = size**-0.5 if scale is None else scale
    out = aten._scaled_dot_product_flash_attention(query, key, value, dropout_p, is_causal, False, scale=scale)[0]
    return out[..., :size] if size % 8 else out


def _float_mask(mask: torch.Tensor, dtype: torch.dtype) -> Any:
    """``convert_boolean_attn_mask``: a boolean mask becomes zeros and minus infinities in the query's dtype."""
    out = torch.full_like(mask, 0.0, dtype=dtype)
    return out.masked_fill_(mask.logical_not(), -float("inf"))


def _pad_mask(mask: torch.Tensor) -> Any:
    """``pad_bias``: the mask's last dimension is padded to a multiple of 16 when it is not aligned."""
    size = mask.size(-1)
    if size % 16 == 0 or mask.dim() == 0:
        return mask
    # Cut back as a view: the kernel wants aligned rows in memory, not more columns.
    return torch.nn.functional.pad(mask, (0, 16 - size % 16))[..., :size]
