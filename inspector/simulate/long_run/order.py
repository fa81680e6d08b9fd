"""Which batches a run over a data set sees: the samples' order, and what each micro-batch is padded to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inspector.simulate.setup.lengths import Lengths


@dataclass(frozen=True, slots=True)
class Batches:
    """How samples become batches.

    Attributes:
        size: sequences of a micro-batch.
        accumulated: micro-batches of a step.
        longest: longer samples are cut to it, in tokens; 0 cuts none.
        grouped: ordered as ``LengthGroupedSampler`` does, samples of about one length together.
        seed: of the order, and of what is drawn.
    """

    size: int
    accumulated: int
    longest: int
    grouped: bool
    seed: int


def padded(length: int, multiple: int, longest: int = 0) -> int:
    """The tokens of a batch whose longest sample is ``length``, padded to a multiple; a limit goes before it."""
    up = -(-length // multiple) * multiple
    return min(up, longest) if longest else up


def steps_of(lengths: Lengths, batches: Batches, steps: int) -> tuple[tuple[int, ...], ...]:
    """The longest sample of each micro-batch of each step, in tokens.

    Each epoch has an order of its own. Its last step is left out where it is not full, as it takes less.
    Raises InspectorError where the samples do not fill one step.
    """
    each = batches.size * batches.accumulated
    samples = lengths.known or lengths.sample(each * steps, batches.seed)
    if len(samples) < each:
        raise InspectorError(
            f"{len(samples):,} samples do not fill a step of {each:,}", hint="a smaller batch, or more lengths"
        )
    cut = [min(length, batches.longest) if batches.longest else length for length in samples]
    # One token predicts nothing.
    cut = [max(2, length) for length in cut]
    found: list[tuple[int, ...]] = []
    for order in _epochs(cut, batches):
        for begin in range(0, len(order) - each + 1, each):
            rows = [cut[at] for at in order[begin : begin + each]]
            found.append(tuple(max(rows[at : at + batches.size]) for at in range(0, each, batches.size)))
            if len(found) == steps:
                return tuple(found)
    raise AssertionError("epochs do not end")


def _epochs(lengths: Sequence[int], batches: Batches) -> Iterator[Sequence[int]]:
    """The samples' order in each epoch, for ever.

    Source: transformers 5.23 trainer.py, ``_get_train_sampler``: a step's samples are one batch of that sampler.
    """
    import torch
    from transformers.trainer_pt_utils import LengthGroupedSampler

    generator = torch.Generator().manual_seed(batches.seed)
    size = batches.size * batches.accumulated
    while True:
        if batches.grouped:
            yield list(LengthGroupedSampler(size, lengths=list(lengths), generator=generator))
        else:
            yield torch.randperm(len(lengths), generator=generator).tolist()
