"""Products of torchao's quantized weights on a CUDA card: what each of its tensor subclasses does in ``linear``.

Source: torchao 0.18, quantization/quantize_/workflows (a file a subclass), quantization/quant_primitives.py (how values
are quantized and dequantized), kernel/intmm.py and float8/inference.py; a test runs both. The kernels below them
allocate their result: tinygemm's ``_weight_int4pack_mm`` (PyTorch 2.13, native/cuda/int4mm.cu), ``_scaled_mm``,
``_int_mm`` and mslk's ``bf16i4bf16_rowwise`` (meta-pytorch/MSLK of August 2026, csrc/gemm/cutlass/bf16i4bf16.cu:
CUTLASS asks for no workspace, as its tiles are not split).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from inspector.simulate.device.packed_kernels import dequantized

if TYPE_CHECKING:
    from inspector.simulate.device.questions import Chip

FEWEST_INT8_ROWS = 17
"""Fewer rows than these cuBLAS does not multiply in int8 (PyTorch 2.13, native/cuda/Blas.cpp, ``_int_mm_out_cuda``):
torchao then does it in float32 (kernel/intmm.py, ``safe_int_mm``)."""

TILE = 1024
"""Inputs are padded to a multiple of it for tinygemm, and outputs to one of 8 (int4_tile_packed_to_4d_tensor.py)."""


def has_mslk_int4(chip: Chip, /) -> bool:
    """Whether mslk's int4 kernels run: they are made of Hopper's instructions."""
    return chip.capability[0] == 9


def has_tinygemm(chip: Chip, /) -> bool:
    """Whether tinygemm's int4 kernel runs (``Int4TilePackedTo4dTensor.from_hp``)."""
    return chip.capability >= (8, 0)


def int8_weight_only(
    rows: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor
) -> torch.Tensor:
    """``Int8Tensor``: values in the dtype of the activations; by groups they are dequantized first."""
    whole = (weight.shape[1], weight.shape[0])
    if scale.numel() > weight.shape[0]:
        return torch.mm(rows, _weight_of_groups(weight, scale, rows.dtype, zero_point).t())
    product = torch.mm(rows, dequantized(weight, whole, rows.dtype))
    return product * scale.to(product.dtype).flatten()


def int8_dynamic(rows: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """``Int8Tensor`` with ``act_quant_kwargs``: sums in int32, then in float32, which stays until the bias is there."""
    values, scales = _int8_values(rows)
    turned = torch.empty_like(weight.t(), memory_format=torch.contiguous_format)
    sums = _integer_product(values, turned)
    del turned
    scaled = sums * scales.expand(sums.shape)
    del sums
    narrow = scaled.to(rows.dtype)
    del scaled
    out = narrow * scale.flatten()
    # The activations' values are held to the end.
    del values
    return out


def _integer_product(values: torch.Tensor, turned: torch.Tensor) -> torch.Tensor:
    shape = (values.shape[0], turned.shape[1])
    if values.shape[0] >= FEWEST_INT8_ROWS:
        return torch.empty(shape, dtype=torch.int32, device=values.device)
    return torch.matmul(values.to(torch.float32), turned.to(torch.float32)).to(torch.int32)


def _int8_values(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``Int8Tensor.from_hp`` of activations by rows, without gradients: scaled in float32, rounded, clamped."""
    with torch.no_grad():
        low, high = torch.amin(rows, -1, keepdim=True), torch.amax(rows, -1, keepdim=True)
        scale = (torch.max(-low, high) / 127.5).to(torch.float32)
        zero = torch.full_like(scale, 0, dtype=torch.int8)
        return torch.clamp(torch.round(rows * (1.0 / scale)) + zero, -128, 127).to(torch.int8), scale


def int8_activations_and_groups(
    rows: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor
) -> torch.Tensor:
    """``IntxUnpackedToInt8Tensor``: activations are rounded to int8 and back, the weight is dequantized."""
    with torch.no_grad():
        low, high = torch.amin(rows, -1, keepdim=True), torch.amax(rows, -1, keepdim=True)
        by_row = (high - low) / 255
        zero = torch.round(low / by_row).to(torch.int8)
        values = torch.clamp(torch.round(rows * (1.0 / by_row)) + zero, -128, 127).to(torch.int8)
    rounded = _scaled(values.to(rows.dtype), by_row, zero)
    del values
    return torch.nn.functional.linear(rounded, _weight_of_groups(weight, scale, rows.dtype, zero_point))


def intx_weight_only(
    rows: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor
) -> torch.Tensor:
    """``IntxUnpackedToInt8Tensor`` without rounded activations: the weight is dequantized, and multiplied with."""
    return torch.nn.functional.linear(rows, _weight_of_groups(weight, scale, rows.dtype, zero_point))


def _weight_of_groups(
    weight: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype, zero: torch.Tensor
) -> torch.Tensor:
    return _scaled(dequantized(weight, tuple(weight.shape), dtype), scale, zero)


def _scaled(whole: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
    """``dequantize_affine`` of a copy in its dtype: less the zero points, times the scales, by groups of a row."""
    shape, dtype = whole.shape, whole.dtype
    whole = whole.view(shape[0], scale.shape[1], -1)
    whole = whole - zero.unsqueeze(-1).to(dtype)
    whole = whole * scale.unsqueeze(-1)
    return whole.view(shape).to(dtype)


def float8_weight_only(rows: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """``Float8Tensor``: the weight in float32, times its scale, then in the dtype of the activations."""
    wide = dequantized(weight.t(), (weight.shape[1], weight.shape[0]), torch.float32)
    scaled = wide * scale.t()
    narrow = scaled.to(rows.dtype)
    del wide, scaled
    return torch.matmul(rows, narrow)


def float8_dynamic(rows: torch.Tensor, weight: torch.Tensor, *, by_rows: bool) -> torch.Tensor:
    """``Float8Tensor`` with ``act_quant_kwargs``, by PyTorch's kernels: activations in float32, scaled and clamped."""
    largest = rows.abs().amax(dim=-1 if by_rows else (0, 1), keepdim=True)
    scale = (largest / 448.0).to(torch.float32)
    values = _float8_values(rows, scale)
    return torch.empty((rows.shape[0], weight.shape[0]), dtype=rows.dtype, device=values.device)


def _float8_values(rows: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """``_quantize_affine_float8``, whose steps are all there until its end."""
    wide = rows.to(torch.float32)
    scaled = wide / scale
    clamped = scaled.clamp(min=-448.0, max=448.0)
    values = clamped.to(torch.float8_e4m3fn)
    del wide
    return values


def int4_mslk(rows: torch.Tensor, outputs: int) -> torch.Tensor:
    """``Int4Tensor`` and ``Int4PreshuffledTensor``: a kernel that reads packed values."""
    return torch.empty((rows.shape[0], outputs), dtype=torch.bfloat16, device=rows.device)


def int4_tinygemm(rows: torch.Tensor, outputs: int) -> torch.Tensor:
    """``Int4TilePackedTo4dTensor``: a copy of the activations, padded or not, and outputs of whole tiles."""
    narrow = rows.to(torch.bfloat16)
    padded = torch.empty((rows.shape[0], -(-rows.shape[1] // TILE) * TILE), dtype=torch.bfloat16, device=rows.device)
    del narrow
    product = torch.empty((rows.shape[0], -(-outputs // 8) * 8), dtype=torch.bfloat16, device=rows.device)
    del padded
    return product[:, :outputs]
