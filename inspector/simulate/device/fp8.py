"""FP8 products as transformers asks for them, without the kernels, which come from the hub and run on GPUs alone.

Source: huggingface/kernels-community of August 2026, finegrained-fp8, version 4 (which transformers 5.23 asks for,
integrations/hub_kernels.py): matmul.py, batched.py, grouped.py and ``fp8_act_quant`` of utils.py. Activations are
quantized inside the kernels, but for weights with one scale, where they and their scales are made before the result.
None of it depends on which tokens go to which expert, but for gradients through experts of more than 1 GiB.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.device.triton_tuning import Autotuned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inspector.simulate.device.questions import Chip

_PLACE = "transformers.integrations.finegrained_fp8"
_GROUP = 32
"""Values that share a scale in the MX formats (``MX_SCALE_GROUP_K``)."""


def has_fp8(chip: Chip, /) -> bool:
    """Units for FP8. Source: transformers quantizers/quantizer_finegrained_fp8.py, ``validate_environment``."""
    return chip.capability >= (8, 9)


def has_deepgemm(chip: Chip, /) -> bool:
    """Whether DeepGEMM is made for it. Source: transformers integrations/deepgemm.py, ``is_deepgemm_loadable``."""
    return chip.capability[0] in {9, 10}


def fp8_products(routing: str = "balanced") -> dict[str, Any]:
    """For `inspector.patched.patched`: the Triton kernels, as a process that begins finds them.

    ``routing`` is how rows spread over the experts where that matters: balanced, or all of them to the first (worst).
    DeepGEMM, which Hopper and Blackwell take for layers where there is a CUDA toolkit too, is left out.
    """
    from transformers.integrations.finegrained_fp8 import FineGrainedFP8

    kernels = _Kernels()
    found = FineGrainedFP8(kernels.matmul_2d, kernels.matmul_batched, kernels.matmul_grouped)

    def apply_if_grad(function: Any, direct: Callable[..., Any], input: torch.Tensor, *args: Any) -> Any:  # noqa: A002
        if not (torch.is_grad_enabled() and input.requires_grad):
            return direct(input, *args)
        # Its own reads from the card where each expert's rows end.
        if direct.__name__ == "fp8_grouped_matmul" and experts_at_once(args[0], input.dtype) < args[0].shape[0]:
            return _InParts.apply(input, direct, routing, *args)
        return function.apply(input, *args)

    return {
        f"{_PLACE}.load_finegrained_fp8_kernel": lambda: found,
        f"{_PLACE}.is_deepgemm_loadable": lambda: False,
        f"{_PLACE}._apply_if_grad": apply_if_grad,
    }


def experts_at_once(weight: torch.Tensor, dtype: torch.dtype) -> int:
    """How many experts are dequantized at once for a gradient, by the bytes that transformers allows itself."""
    from transformers.integrations.finegrained_fp8 import FP8GroupedMatmulFunction

    budget: int = FP8GroupedMatmulFunction.dequant_budget_bytes
    return max(1, budget // (weight.shape[1] * weight.shape[2] * dtype.itemsize))


class _InParts(torch.autograd.Function):
    """``FP8GroupedMatmulFunction`` whose backward pass dequantizes some experts after the others."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, product: Callable[..., torch.Tensor], routing: str, *args: Any
    ) -> torch.Tensor:
        """The product."""
        weight, scales, offsets, _, blocks = args
        ctx.save_for_backward(weight, scales, offsets)
        ctx.blocks, ctx.routing = blocks, routing
        return product(x, *args)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[Any, ...]:
        """The gradient of what came in: each part's experts dequantized, and the product of their rows beside it."""
        from transformers.integrations.finegrained_fp8 import _dequantize_fp8_weight
        from transformers.integrations.moe import _grouped_mm

        weight, scales, offsets = ctx.saved_tensors
        grad, experts = grads[0].contiguous(), weight.shape[0]
        rows, step = grad.shape[0], experts_at_once(weight, grad.dtype)
        ends = [rows if ctx.routing == "worst" else rows * (place + 1) // experts for place in range(experts)]
        made = grad.new_zeros((rows, weight.shape[-1]))
        for start in range(0, experts, step):
            end = min(start + step, experts)
            low, high = ends[start - 1] if start else 0, ends[end - 1]
            if low == high:
                continue
            whole = _dequantize_fp8_weight(weight[start:end], scales[start:end], ctx.blocks, grad.dtype)
            made[low:high] = _grouped_mm(grad[low:high], whole, offs=offsets[start:end] - low)
            del whole
        return made, *[None] * 7


class _Kernels:
    """The three products: of a layer, of a row with its own expert, and of rows sorted by expert."""

    def __init__(self) -> None:
        self._tuned = Autotuned()

    def matmul_2d(
        self, x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor, block_size: Sequence[int] | None = None,
        output_dtype: torch.dtype | None = None, activation_scale: torch.Tensor | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """``matmul_2d``: rows (..., inputs) by a weight (outputs, inputs)."""
        kind = _kind(weight, scales, block_size)
        quantized = _quantized(x) if kind == "tensor" else None
        out = _result(x, weight, output_dtype)
        if activation_scale is not None and kind == "block":
            kind = "static"
        rows = x.numel() // x.shape[-1]
        self._tuned.launch(f"2d {kind}", *_sizes(weight, x), _rows_of_a_tile(rows), device=x.device)
        del quantized
        return out

    def matmul_batched(
        self, x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor, expert_ids: torch.Tensor,
        block_size: Sequence[int] | None = None, output_dtype: torch.dtype | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """``matmul_batched``: each row by the weight of its expert."""
        del expert_ids
        kind = _kind(weight, scales, block_size)
        quantized = _quantized(x) if kind == "tensor" else None
        out = _result(x, weight, output_dtype)
        # Of one scale a tensor, the number of rows is no part of the key.
        key = (*_sizes(weight, x), *(() if kind == "tensor" else (x.shape[0],)))
        self._tuned.launch(f"batched {kind}", *key, device=x.device)
        del quantized
        return out

    def matmul_grouped(
        self, x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor, offsets: torch.Tensor,
        tokens_per_expert: torch.Tensor, block_size: Sequence[int] | None = None,
        output_dtype: torch.dtype | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """``matmul_grouped``: sorted rows, and where each expert's tiles end (``_grouped_tile_layout``)."""
        del offsets
        kind = _kind(weight, scales, block_size)
        quantized = _quantized(x) if kind == "tensor" else None
        out = _result(x, weight, output_dtype)
        experts = weight.shape[0]
        tile = _rows_of_a_tile(-(-x.shape[0] // experts))
        tiles = (tokens_per_expert + tile - 1) // tile
        ends = torch.cumsum(tiles, dim=0).to(torch.int32)
        del tiles
        self._tuned.launch(f"grouped {kind}", *_sizes(weight, x), tile, device=x.device)
        del quantized, ends
        return out


def _kind(weight: torch.Tensor, scales: torch.Tensor, block_size: Sequence[int] | None) -> str:
    """Which kernel it is (``is_mxfp``, ``is_tensor_wide``): of MX scales, of one scale a weight, or of blocks."""
    inputs = weight.shape[-1] * (2 if weight.dtype == torch.int8 else 1)
    powers = scales.dtype in {torch.float8_e8m0fnu, torch.uint8}
    if powers and tuple(scales.shape) == (*weight.shape[:-1], inputs // _GROUP):
        return "mx"
    whole = block_size is None or tuple(block_size) == tuple(weight.shape[-2:])
    return "tensor" if whole else "block"


def _quantized(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``fp8_act_quant`` by rows."""
    values = torch.empty_like(x, dtype=torch.float8_e4m3fn)
    return values, x.new_empty((*x.shape[:-1], 1), dtype=torch.float32)


def _result(x: torch.Tensor, weight: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
    return x.new_empty((*x.shape[:-1], weight.shape[-2]), dtype=dtype or x.dtype)


def _sizes(weight: torch.Tensor, x: torch.Tensor) -> tuple[object, ...]:
    """The sizes of a weight, and the dtypes that are part of every key."""
    return *weight.shape[-2:], weight.dtype, x.dtype


def _rows_of_a_tile(rows: int) -> int:
    """``adaptive_block_size_m``: a power of two, from 16 to 128."""
    return min(max(1 << max(rows - 1, 0).bit_length(), 16), 128)
