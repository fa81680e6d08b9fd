"""Where autograd works in place on a device, and not on tensors that a dispatch mode watches.

PyTorch keeps out of place what it does to tensors "like a subclass", which those on the meta device are and all are
while a dispatch mode runs (aten/src/ATen/TensorSubclassLikeUtils.h). On a device the same sums and the same scattered
gradients are written into a tensor that is there already: `as_on_device` does so for the trace.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch._ops import OpOverload

aten = torch.ops.aten

SCATTERED: dict[Any, Any] = {
    aten.index_put.default: aten.index_put_.default,
    aten.scatter.src: aten.scatter_.src,
    aten.scatter.value: aten.scatter_.value,
    aten.scatter_add.default: aten.scatter_add_.default,
    aten.index_add.default: aten.index_add_.default,
}
"""Gradients of indexing, written into zeros that were made for them.

Source: torch/csrc/autograd/FunctionsManual.cpp, ``index_backward`` and ``value_selecting_reduction_backward``;
aten/src/ATen/native/TensorAdvancedIndexing.cpp, ``gather_backward`` and ``index_select_backward``.
"""

OUT_OF_PLACE = frozenset({aten.add.Tensor, *SCATTERED})
"""Operators that may stand for one in place."""

_HELD = 4, 2
"""References to a tensor and to its storage in `as_on_device` when autograd's buffer alone holds it."""


_masking: list[bool] = []


@contextmanager
def masking() -> Iterator[None]:
    """While attention's scores are masked: the mask is added in place.

    Source: aten/src/ATen/native/transformers/attention.cpp, ``_scaled_dot_product_attention_math``.
    """
    _masking.append(True)
    try:
        yield
    finally:
        _masking.pop()


def as_on_device(func: OpOverload, args: tuple[Any, ...]) -> Any:
    """The operator a device would run in the place of this one."""
    if _masking and func is aten.add.Tensor:
        return aten.add_.Tensor
    # Autograd adds in place only where it keeps no graph; outside its nodes this is the program's own operator.
    if torch.is_grad_enabled() or torch._C._current_autograd_node() is None:
        return func
    if func is aten.add.Tensor:
        return aten.add_.Tensor if _accumulates(args) else func
    return SCATTERED.get(func, func)


def _accumulates(args: tuple[Any, ...]) -> bool:
    """Two gradients of one tensor are added, and nobody else holds the first.

    Source: torch/csrc/autograd/input_buffer.cpp, ``accumulate`` and ``can_accumulate_inplace``.
    """
    old, new = args[0], args[1]
    if not isinstance(new, torch.Tensor) or old.shape != new.shape or old.dtype != new.dtype or old._is_view():
        return False
    held = old._use_count(), torch._C._storage_Use_Count(old.untyped_storage()._cdata)
    return held[0] <= _HELD[0] and held[1] <= _HELD[1] and _dense(old)


def _dense(tensor: torch.Tensor) -> bool:
    """Whether a tensor fills its memory, each element once, in some order of its dimensions."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True
