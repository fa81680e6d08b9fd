"""Labels, token ids and indices beyond their range: a card's kernels assert, where values are known.

A real card says so later, at the next line that waits for it, and prints a line for each thread; said here is the line
that asks, as with ``CUDA_LAUNCH_BLOCKING=1``, and the number that is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.script.child.errors import emulated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch._ops import OpOverload

aten = torch.ops.aten

_CLASSES = "t >= 0 && t < n_classes"
_ROWS = "srcIndex < srcSelectDimSize"
_PLACES = 'idx_dim >= 0 && idx_dim < index_size && "index out of bounds"'
_INDICES = '-sizes[i] <= index && index < sizes[i] && "index out of bounds"'

Args = Sequence[Any]

Bound = tuple[torch.Tensor, int, int, int | None, str]
"""Indices, the least and one more than the most of them, a number that stands for none, the kernel's assertion."""


def _loss(args: Args) -> Iterator[Bound]:
    scores, labels, ignored = args[0], args[1], args[4] if len(args) > 4 else -100
    yield labels, 0, scores.size(1 if scores.dim() > 1 else 0), ignored, _CLASSES


def _embedded(args: Args) -> Iterator[Bound]:
    yield args[1], 0, args[0].size(0), None, _ROWS


def _selected(args: Args) -> Iterator[Bound]:
    if args[0].dim():
        yield args[2], 0, args[0].size(args[1]), None, _ROWS


def _gathered(args: Args) -> Iterator[Bound]:
    if args[0].dim():
        yield args[2], 0, args[0].size(args[1]), None, _PLACES


def _indexed(args: Args) -> Iterator[Bound]:
    for dim, index in enumerate(args[1]):
        # A mask is expanded into several indices beforehand.
        if isinstance(index, torch.Tensor) and not index.dtype.is_floating_point and index.dtype != torch.bool:
            size = args[0].size(dim)
            yield index, -size, size, None, _INDICES


_ASSERTING: dict[Any, Callable[[Args], Iterator[Bound]]] = {
    aten.nll_loss_forward.default: _loss, aten.nll_loss2d_forward.default: _loss,
    aten.embedding.default: _embedded, aten.index_select.default: _selected, aten.gather.default: _gathered,
    aten.scatter.src: _gathered, aten.scatter.value: _gathered, aten.scatter_.src: _gathered,
    aten.scatter_.value: _gathered, aten.scatter_add.default: _gathered, aten.scatter_add_.default: _gathered,
    aten.index.Tensor: _indexed, aten.index_put.default: _indexed, aten.index_put_.default: _indexed,
    aten._index_put_impl_.default: _indexed,
}  # fmt: skip
"""Sources: aten/src/ATen/native/cuda/NLLLoss.cu, NLLLoss2d.cu, Indexing.cu, ScatterGatherKernel.cu, IndexKernel.cu."""


def check(func: OpOverload, args: Args, known: Callable[[torch.Tensor], torch.Tensor | None]) -> None:
    """Raise ``torch.AcceleratorError`` where an index that is ``known`` is out of its range."""
    asserting = _ASSERTING.get(func)
    for indices, least, end, ignored, assertion in asserting(args) if asserting else ():
        values = known(indices)
        if values is None or not values.numel():
            continue
        wrong = (values < least) | (values >= end)
        if ignored is not None:
            wrong &= values != ignored
        if wrong.any():
            first = int(values[wrong][0])
            name = func._schema.name.partition("::")[2]
            raise emulated(
                torch.AcceleratorError(
                    "CUDA error: device-side assert triggered\n"
                    f"{name}: Assertion `{assertion}` failed: {first} is not from {least} to {end - 1}"
                )
            )
