"""Which ranks differ: weights that do not divide are cut so that some ranks have less of them, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch.distributed.device_mesh import DeviceMesh

MOST_NAMED = 4096
"""Beyond as many ranks, those of a group are counted and not named."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One dimension of a mesh of ranks: a rank's place on it is ``rank // stride % size``."""

    size: int
    stride: int


@dataclass(frozen=True, slots=True)
class Cut:
    """A length that is cut into chunks of equal size, by one axis after another; the last chunks may be short."""

    length: int
    by: tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class Alike:
    """Ranks that have the same parts: the first of them, how many there are, and which, where they are few enough."""

    first: int
    count: int
    ranks: tuple[int, ...]


def groups(cuts: Iterable[Cut], world_size: int, *, ring: int = 1) -> tuple[Alike, ...]:
    """The ranks of a world by what they have of every cut; the group of rank 0 first.

    In a ``ring`` of ranks that share a sequence the first looks at half of all other keys alone, the last with half of
    its own queries alone, and those between do both (_context_parallel/_attention.py, ``_templated_ring_attention``).
    """
    import numpy as np

    rank = np.arange(world_size)
    rows = [part for cut in dict.fromkeys(cuts) for part in _parts(cut, rank)]
    if ring > 1:
        place = rank % ring
        rows.append(np.where(place == 0, 0, np.where(place == ring - 1, 2, 1)))
    if not rows:
        return (Alike(0, world_size, tuple(range(world_size)) if world_size <= MOST_NAMED else ()),)
    _, first, inverse, counts = np.unique(
        np.stack(rows), axis=1, return_index=True, return_inverse=True, return_counts=True
    )
    inverse = inverse.reshape(-1)
    made = []
    for group in np.argsort(first):
        named = np.flatnonzero(inverse == group) if world_size <= MOST_NAMED else ()
        made.append(Alike(int(first[group]), int(counts[group]), tuple(int(each) for each in named)))
    return tuple(made)


def _parts(cut: Cut, rank: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """How much of a length each rank has after each axis, cut as ``torch.chunk`` cuts.

    What it has before the last is what it gathers.
    """
    import numpy as np

    left = np.full(rank.shape, cut.length)
    for axis in cut.by:
        chunk = -(-left // axis.size)
        left = np.clip(left - chunk * (rank // axis.stride % axis.size), 0, chunk)
        yield left


def cuts_of(parameters: Iterable[torch.Tensor]) -> tuple[Cut, ...]:
    """How the weights are cut that are cut at all, each way once.

    Tensor parallelism cuts before FSDP does, although its dimension of the mesh is the inner one.
    """
    from torch.distributed.tensor import DTensor

    found: dict[Cut, None] = {}
    for parameter in parameters:
        if not isinstance(parameter, DTensor):
            continue
        by: dict[int, list[Axis]] = {}
        for axis, placement in zip(_axes(parameter.device_mesh), parameter.placements, strict=True):
            if (dim := getattr(placement, "dim", None)) is not None:
                by.setdefault(dim % parameter.ndim, []).insert(0, axis)
        found |= {Cut(parameter.shape[dim], tuple(axes)): None for dim, axes in by.items()}
    return tuple(found)


def _axes(mesh: DeviceMesh) -> tuple[Axis, ...]:
    """Of ranks in rows, by how far apart neighbours are."""
    ranks: Any = mesh.mesh
    return tuple(
        Axis(size, int(ranks.select(dim, 1).flatten()[0] - ranks.select(dim, 0).flatten()[0]) if size > 1 else 1)
        for dim, size in enumerate(ranks.shape)
    )
