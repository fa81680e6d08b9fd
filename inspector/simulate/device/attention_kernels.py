"""What attention's kernels allocate for themselves on a device, beside the results and gradients they return.

Sizes are in bytes. Each list is a phase: storages that are alive together, and gone before the next phase begins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.simulate.device.questions import Chip, Device

aten = torch.ops.aten

FLOAT = 4
"""Bytes of the float32 that all of these accumulate in."""

_LOCK = 4
"""Elements of a tile's lock and counter (``GradQTempStorage``)."""

_MOST_SPLITS = 200
"""Splits of the keys, over all heads, when gradients are staged in memory (``num_splits_key``)."""


def attention_temporaries(device: Device) -> dict[Any, Callable[..., list[list[int]]]]:
    """Temporaries of attention's operators on a device."""

    def efficient(
        _out: object,
        grad: torch.Tensor,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        *_: object,
        **__: object,
    ) -> list[list[int]]:
        return _efficient_backward(device, grad, query, key, value)

    return {
        aten._scaled_dot_product_flash_attention_backward.default: _flash_backward,
        aten._scaled_dot_product_efficient_attention.default: _efficient,
        aten._scaled_dot_product_efficient_attention_backward.default: efficient,
        aten._scaled_dot_product_cudnn_attention_backward.default: _cudnn_backward,
    }


def _flash_backward(
    _out: object, _grad: object, query: torch.Tensor, key: torch.Tensor, *_: object, **__: object
) -> list[list[int]]:
    """Row sums, a float32 accumulator for the query's gradient, and expanded gradients of grouped keys and values.

    Source: aten/src/ATen/native/transformers/cuda/flash_attn/flash_api.cpp, ``mha_bwd`` (``softmax_d``, ``dq_accum``,
    ``dk_expanded``, ``dv_expanded``).
    """
    batch, heads, length, size = query.shape
    # As ``mha_bwd`` rounds them, to whole tiles.
    rounded_length = _up(length, 128)
    rounded_size = _up(size, 32 if size <= 128 else 64)
    temporaries = [batch * heads * rounded_length * FLOAT, batch * heads * rounded_length * rounded_size * FLOAT]
    if key.size(1) != heads:
        temporaries += [batch * key.size(2) * heads * size * key.element_size()] * 2
    return [temporaries]


def _cudnn_backward(_out: object, _grad: object, query: torch.Tensor, *_: object, **__: object) -> list[list[int]]:
    """One workspace: a float32 accumulator for the query's gradient, and row sums.

    Source: cudnn-frontend, include/cudnn_frontend/node/scaled_dot_product_flash_attention.h,
    ``CompositeSDPABackwardNode`` (``dQ_accum``, ``softmax_sum``, ``get_fe_workspace_size_node``). What cuDNN's engine
    adds to it, such as for the sum over grouped heads, is not published and not counted.
    """
    batch, heads, length, size = query.shape
    return [[batch * heads * length * (size + 1) * FLOAT]]


def _efficient(
    _out: object, query: torch.Tensor, _key: torch.Tensor, value: torch.Tensor, *_: object, **__: object
) -> list[list[int]]:
    """The output in float32, for 16-bit heads above 128, which do not stay in registers.

    Source: aten/src/ATen/native/transformers/cuda/attention.cu, ``_efficient_attention_forward`` (``output_accum``),
    and mem_eff_attention/kernel_forward.h, ``kSingleValueIteration`` and ``kNeedsOutputAccumulatorBuffer``.
    """
    if query.element_size() != 2 or max(query.size(-1), value.size(-1)) <= 128:
        return []
    batch, heads, length = query.shape[:3]
    return [[batch * heads * length * value.size(-1) * FLOAT]]


def _efficient_backward(
    device: Device, grad: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> list[list[int]]:
    """Row sums, and one workspace: tiles of the query's gradient, and of the keys' and values' where they are staged.

    Source: aten/src/ATen/native/transformers/cuda/attention_backward.cu, ``_efficient_attention_backward`` (``delta``,
    ``num_splits_key``, ``workspace``), and mem_eff_attention/kernel_backward.h, ``workspace_elements_gk``, ``_gv`` and
    ``_gq``, ``GradQTempStorage``, ``kKernelComputesDelta``.
    """
    batch, heads, length, size = query.shape
    half = query.element_size() == 2
    widest = max(size, value.size(-1))
    rows, columns, in_registers = device.ask(backward_tile, widest, length, key.size(2), half)
    elements = -(-length // rows) * -(-size // columns) * (rows * columns + _LOCK)
    if half and not in_registers:
        splits = max(1, min(-(-key.size(2) // columns), _MOST_SPLITS // (batch * heads)))
        elements += splits * columns * (_up(size, rows) + _up(value.size(-1), rows))
    workspace = batch * heads * _up(elements, 4) * FLOAT
    delta = batch * heads * length * FLOAT
    # For float32 the row sums are made before the kernel, from a product as large as the gradient.
    if half:
        return [[delta, workspace]]
    return [[grad.numel() * FLOAT, delta, delta], [delta, workspace]]


def backward_tile(chip: Chip, size: int, length: int, keys: int, half: bool, /) -> tuple[int, int, bool]:
    """Rows and columns of a tile of the memory-efficient backward, and whether it keeps two gradients in registers.

    Args:
        chip: the card's.
        size: the larger head size of queries and values.
        length: number of queries.
        keys: number of keys.
        half: 16-bit inputs.

    Source: mem_eff_attention/kernels/generate_kernels.py, ``BwdKernel.get_all`` (128 rows for heads above 64; columns
    128 too where operands are preloaded, which takes the shared memory of an A100; on 8.6 and 8.9 only heads up to 96
    with whole tiles stay in registers), and kernel_backward.h, ``kOutputInRF``. Shared memory of a block is 99 KB on
    8.6, 8.9 and 12.x and at least 163 KB on 8.0, 8.7, 9.0, 10.x and 11.0 (CUDA C++ Programming Guide, "Technical
    Specifications per Compute Capability").
    """
    capability = chip.capability
    if size <= 64 or (not half and capability < (8, 0)):
        return 64, 64, half and size <= 64
    if size > 128 or not half:
        return 128, 64, False
    if capability < (8, 0):
        return 128, 64, True
    if size <= 96 and length % 128 == 0 and keys % 64 == 0:
        return 128, 64, True
    little = capability in {(8, 6), (8, 9)} or capability >= (12, 0)
    return (64, 64, False) if little else (128, 128, True)


def _up(value: int, step: int) -> int:
    """The next multiple of ``step``."""
    return -(-value // step) * step
