"""Copies that products make of operands which BLAS cannot read as they lie, such as expanded ones.

BLAS reads a matrix whose rows or columns lie one behind the other, at one distance that is no smaller than they are
long; of any other it is given a copy, which lives until the product is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

aten = torch.ops.aten


def _matrices(_out: object, first: torch.Tensor, second: torch.Tensor) -> list[list[int]]:
    """Of ``mm``. Source: aten/src/ATen/native/cuda/cuBlasCommonArgs.h, ``prepare_matrix_for_cublas``."""
    copied = [each.numel() * each.element_size() for each in (first, second) if not _in_lines(each)]
    return [copied] if copied else []


def _with_bias(out: object, _bias: object, first: torch.Tensor, second: torch.Tensor, **_: object) -> list[list[int]]:
    """Of ``addmm``, whose first operand is added."""
    return _matrices(out, first, second)


def _in_lines(matrix: torch.Tensor) -> bool:
    if matrix.is_contiguous():
        return True
    (rows, columns), (down, across) = matrix.shape, matrix.stride()
    if down == 1 and across >= max(1, rows):
        return True
    # The transposed of a matrix of one column has no order of its own.
    return (across == 1 and down >= max(1, columns)) or matrix.t().is_contiguous()


def _batches(out: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> list[list[int]]:
    """Of ``bmm``: what repeats over the batch alone is read as it is.

    Source: aten/src/ATen/native/cuda/Blas.cpp, ``bmm_out_cuda_impl`` and ``prepare_batch_matrix_for_cublas``.
    """
    rows, columns = out.shape[1:]
    inner = first.shape[2]
    down, across = out.stride()[1:]
    # Columns are what cuBLAS calls lines: a result in rows is computed as the transposed of both.
    in_columns = down == 1 and (columns == 1 or across >= max(1, rows))
    of_first = _batch_in_lines(first, *((1, 2, rows, inner) if in_columns else (2, 1, inner, rows)))
    of_second = _batch_in_lines(second, *((1, 2, inner, columns) if in_columns else (2, 1, columns, inner)))
    copied = [
        each.numel() * each.element_size()
        for each, lies in ((first, of_first), (second, of_second))
        if not lies
    ]  # fmt: skip
    return [copied] if copied else []


def _batch_in_lines(batch: torch.Tensor, fast: int, leading: int, length: int, other: int) -> bool:
    strides = batch.stride()
    if strides[fast] == 1 and strides[leading] >= max(1, length):
        return True
    if strides[leading] == 1 and strides[fast] >= max(1, other):
        return True
    return batch.is_contiguous() and strides[1] != 0 and strides[2] != 0


def _batches_with_bias(
    out: torch.Tensor, _bias: object, first: torch.Tensor, second: torch.Tensor, **_: object
) -> list[list[int]]:
    """Of ``baddbmm``, whose first operand is added."""
    return _batches(out, first, second)


PRODUCTS: dict[Any, Callable[..., list[list[int]]]] = {
    aten.mm.default: _matrices,
    aten.addmm.default: _with_bias,
    aten.bmm.default: _batches,
    aten.baddbmm.default: _batches_with_bias,
}
