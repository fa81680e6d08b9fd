"""Fold a model's identical layers: the repeated layers of a stack, grouped by what they contain.

Used by the listing (``0-31: 32 x LlamaDecoderLayer``) and by the saved form of a skeleton, which stores one layer of
each sort.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from inspector.skeleton import Module, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from inspector.skeleton import Skeleton


@dataclass(frozen=True, slots=True)
class Entry:
    """A module with the tensors it holds itself."""

    module: Module
    tensors: tuple[Tensor, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """One repeated layer: its entries by their path inside it (``self_attn.q_proj``; the layer itself is ``''``)."""

    entries: tuple[Entry, ...]

    @property
    def cls(self) -> str:
        """Class name of the layer."""
        return self.entries[0].module.cls

    def at(self, layer: str) -> Iterator[Entry]:
        """The entries with their full paths, as layer ``model.layers.7``."""
        for entry in self.entries:
            path = f"{layer}.{entry.module.path}" if entry.module.path else layer
            tensors = tuple(_named(tensor, f"{path}.{tensor.name}") for tensor in entry.tensors)
            yield Entry(_placed(entry.module, path, layer), tensors)


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive identical layers ``first`` to ``last`` of a stack such as ``model.layers``."""

    stack: str
    first: int
    count: int
    block: Block

    @property
    def last(self) -> int:
        """Index of the last layer, inclusive."""
        return self.first + self.count - 1

    @property
    def label(self) -> str:
        """``0-31: 32 x LlamaDecoderLayer``, or ``3: LlamaDecoderLayer`` for one."""
        return f"{self.span}: {self.block.cls}" if self.count == 1 else f"{self.span}: {self.count} x {self.block.cls}"

    @property
    def span(self) -> str:
        """``0-31``, or ``3`` for one."""
        return f"{self.first}" if self.count == 1 else f"{self.first}-{self.last}"

    def layers(self) -> Iterator[str]:
        """The path of each layer."""
        return (f"{self.stack}.{index}" for index in range(self.first, self.first + self.count))


def fold(skeleton: Skeleton) -> Iterator[Entry | Run]:
    """The model in order: modules outside any layer one by one, identical layers in runs."""
    entries = _entries(skeleton)
    # Neighbours only: layers of two sorts that take turns are runs of one.
    blocks = groupby(entries, key=lambda entry: entry.module.layer)
    pending: Run | None = None
    for layer, group in blocks:
        if layer is None:
            if pending:
                yield pending
                pending = None
            yield from group
            continue
        stack, _, index = layer.rpartition(".")
        block = Block(tuple(_inside(entry, layer) for entry in group))
        # By equality of the whole block, tensors included: one other shape begins a new run.
        if pending and pending.stack == stack and pending.last + 1 == int(index) and pending.block == block:
            pending = replace(pending, count=pending.count + 1)
            continue
        if pending:
            yield pending
        pending = Run(stack, int(index), 1, block)
    if pending:
        yield pending


def unfold(items: Iterable[Entry | Run]) -> Iterator[Entry]:
    """The inverse of `fold`: every module in order."""
    for item in items:
        if isinstance(item, Entry):
            yield item
        else:
            for layer in item.layers():
                yield from item.block.at(layer)


def _entries(skeleton: Skeleton) -> Iterator[Entry]:
    # Gathered once: to look through all tensors for each module would be quadratic in the layers.
    held: dict[str, list[Tensor]] = {}
    for tensor in skeleton.tensors:
        held.setdefault(tensor.owner, []).append(tensor)
    for module in skeleton.modules:
        yield Entry(module, tuple(held.get(module.path, ())))


def _inside(entry: Entry, layer: str) -> Entry:
    """An entry as seen from its layer, so that two identical layers compare equal."""
    module = _placed(entry.module, entry.module.path[len(layer) + 1 :], None)
    return Entry(module, tuple(_named(tensor, tensor.name.rpartition(".")[2]) for tensor in entry.tensors))


# `dataclasses.replace` is five times slower than the constructor, and a 405B skeleton needs it thousands of times.
def _placed(module: Module, path: str, layer: str | None) -> Module:
    return Module(path, module.cls, module.part, layer, module.base, module.keep, module.transposed)


def _named(tensor: Tensor, name: str) -> Tensor:
    return Tensor(name, tensor.shape, tensor.dtype, tensor.role, tensor.persistent, tensor.tied_to, tensor.pinned)
