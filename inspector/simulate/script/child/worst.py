"""``--worst``: the longest samples come first, as a mean batch says nothing of the one that does not fit.

Loaders are asked in one place for what they will fetch (torch/utils/data/dataloader.py, ``_index_sampler``), after
whatever accelerate or a trainer has put round their samplers. Indices that come once each are put in order of their
samples' sizes; batches in which any comes again (groups of one prompt), and those of a script's own choice (as many as
fit into so many tokens), stay together.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence, Sized
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset

from inspector.simulate.script.child.replaced import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_SAMPLES = 50_000
"""Samples that are looked at: each is made for it."""

ENOUGH_EQUAL = 1_000
"""After so many of one size, all are taken to be of it: packed rows, pictures."""


def install(note: Callable[[str], None]) -> None:
    """Put it in its place; ``note`` is told what was put in order, or why not."""
    before: Any = DataLoader._index_sampler
    known: dict[int, tuple[object, dict[int, int]]] = {}

    def index_sampler(loader: DataLoader[Any]) -> Any:
        sampler = before.fget(loader)
        data: Any = loader.dataset
        stream = isinstance(loader.dataset, IterableDataset) or not hasattr(loader.dataset, "__len__")
        if stream or not isinstance(sampler, Sized):
            note("--worst: a stream of samples, or one without an end, comes in its own order")
            return sampler
        # By the object itself as well: a number is given again when its owner is gone.
        sizes = known.setdefault(id(data), (data, {}))[1]
        return _LongestFirst(sampler, lambda indices: _sizes(data, indices, sizes, note))

    replace("torch.utils.data.DataLoader._index_sampler", property(index_sampler))


class _LongestFirst:
    """A sampler, or a sampler of batches, with what is long first; as many, of the same sizes."""

    def __init__(self, inner: Any, sizes: Callable[[list[int]], dict[int, int]]) -> None:
        self._inner, self._sizes = inner, sizes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __len__(self) -> int:
        return len(self._inner)

    def __iter__(self) -> Iterator[Any]:
        inner = self._inner
        plain = type(inner) is BatchSampler and isinstance(inner.sampler, Sized)
        sampler = inner.sampler if plain else inner
        given = list(islice(sampler, len(sampler)))
        batches = any(isinstance(each, (list, tuple)) for each in given)
        indices = [index for batch in given for index in batch] if batches else given
        if not all(isinstance(index, int) for index in indices):
            yield from BatchSampler(given, inner.batch_size, inner.drop_last) if plain else given
            return
        sizes = self._sizes(indices)
        if not batches and len(set(given)) == len(given):
            # What is dropped at the end is the shortest, then.
            given.sort(key=lambda index: -sizes.get(index, 0))
        elif plain:
            given, batches = list(BatchSampler(given, inner.batch_size, inner.drop_last)), True
        if batches:
            # What a batch takes is its longest, as often as it has samples.
            given.sort(key=lambda batch: -len(batch) * max((sizes.get(at, 0) for at in batch), default=0))
        yield from BatchSampler(given, inner.batch_size, inner.drop_last) if plain and not batches else given


def _sizes(
    data: Sequence[object], indices: list[int], known: dict[int, int], note: Callable[[str], None]
) -> dict[int, int]:
    """The sizes of samples by their indices; those that are not looked at are not in it."""
    fresh = [index for index in indices if index not in known]
    if not fresh:
        return known
    drawn, seeds = torch.get_rng_state(), random.getstate()
    looked = 0
    for index in fresh[: max(MOST_SAMPLES - len(known), 0)]:
        known[index] = size_of(data[index])
        looked += 1
        if looked == ENOUGH_EQUAL and len(set(known.values())) == 1:
            break
    torch.set_rng_state(drawn)
    random.setstate(seeds)
    rest = len(fresh) - looked
    if known:
        of = f"{len(known):,} samples" + (f" looked at, of {len(known) + rest:,}" if rest else "")
        note(f"the longest samples come first (--worst): from {max(known.values()):,} down, in {of}")
    return known


def size_of(sample: object) -> int:
    """How long a sample is: its tokens where it has any, else the numbers or letters in it."""
    if isinstance(sample, (str, bytes)):
        return len(sample)
    if isinstance(sample, Mapping):
        tokens = [value for key, value in sample.items() if str(key).endswith(("input_ids", "tokens"))]
        return sum(size_of(value) for value in tokens or sample.values())
    shape = getattr(sample, "shape", None)
    if shape is not None:
        return int(torch.Size(shape).numel())
    if isinstance(sample, Sequence):
        # Of a long list of numbers the first says what all are.
        if sample and isinstance(sample[0], (int, float)):
            return len(sample)
        return sum(size_of(each) for each in sample)
    return 0
