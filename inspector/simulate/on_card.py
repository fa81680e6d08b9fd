"""What traced events take on a card, and the one word for it. The only place where a verdict is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from inspector.precision.published import published_in
from inspector.simulate.allocator.timeline import most_requested, replay
from inspector.simulate.setup.outliers import assuming

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from inspector.gpus import Gpu
    from inspector.simulate.allocator.settings import AllocatorSettings
    from inspector.simulate.allocator.timeline import Timeline
    from inspector.simulate.events import Event
    from inspector.simulate.setup.load import Quantization

Verdict = Literal["fits", "tight", "does not fit"]
Served = Literal["freely", "by giving cached memory back", "not"]

TIGHT = 20
"""Less than a twentieth of the card left is tight: a convention of ours, for what one step does not show (longer
samples, kernels loaded later, a newer driver that keeps more)."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """What a run takes on a card, in bytes.

    ``allocated`` and ``reserved`` are the highest levels of the caching allocator when memory has no end;
    ``context`` is what the process holds besides; ``usable`` is what the driver lets a program have. ``served`` says
    whether the card serves every request: freely, only after cached segments went back to the driver, or not.
    ``nccl`` is the least that NCCL's buffers take besides, of a rank among several, and ``nccl_most`` the most.
    ``context_more`` is what the context may hold besides, by the versions of kernels.
    """

    allocated: int
    reserved: int
    context: int
    usable: int
    served: Served
    nccl: int = 0
    nccl_most: int = 0
    context_more: int = 0

    @property
    def process(self) -> int:
        """The whole process at its peak: what the allocator reserves, the context, and the least of NCCL."""
        return self.reserved + self.context + self.nccl

    @property
    def process_most(self) -> int:
        """The same with the most that NCCL may take, which follows from the wires between the cards, and kernels."""
        return self.reserved + self.context + self.nccl_most + self.context_more

    @property
    def margin(self) -> int:
        """What the card has left at the peak; below zero it does not fit, or cached memory must be given back."""
        return self.usable - self.process

    @property
    def allocated_margin(self) -> int:
        """What the card would have left if nothing were held but tensors: below zero nothing can make it fit."""
        return self.usable - self.context - self.nccl - self.allocated

    @property
    def fits(self) -> bool:
        """Whether the card serves every request of the run."""
        return self.served != "not"

    @property
    def gives_back(self) -> bool:
        """Whether it fits only because the allocator gives cached memory back."""
        return self.served == "by giving cached memory back"

    @property
    def verdict(self) -> Verdict:
        """``tight`` when under 5 % of the card is left or cached memory must be given back. Never rounded.

        Also when it fits beside the least that NCCL and kernels take, and not beside the most.
        """
        if not self.fits:
            return "does not fit"
        # In whole numbers: a fraction would be rounded, and decide some borders by it.
        short = self.margin * TIGHT < self.usable or self.process_most > self.usable
        return "tight" if self.gives_back or short else "fits"


def peaks_on(
    events: Sequence[Event], card: Gpu, settings: AllocatorSettings, line: Timeline | None = None,
    nccl: tuple[int, int] = (0, 0),
) -> Peaks:  # fmt: skip
    """What traced events take on a card: replayed without a limit, and within the card when that is too much.

    ``line`` is the replay under the same settings, when it is there already: without a limit, or within the card where
    the program met its end. ``nccl`` is the least and the most that NCCL's buffers take beside them.
    """
    line = line or replay(events, settings)
    served: Served = "by giving cached memory back" if line.retries else "freely"
    least, most = nccl
    # Only then can the card's size change anything: below it both replays are the same.
    if line.peak_reserved + card.context_bytes + least > card.usable_bytes:
        served = "not"
        # No allocator serves more than there is: that needs no replay to see.
        if most_requested(events) <= (room := card.available_bytes - least):
            within = replay(events, settings, capacity=room)
            served = "by giving cached memory back" if within.out_of_memory is None else "not"
    return Peaks(line.peak_allocated, line.peak_reserved, card.context_bytes, card.usable_bytes, served, least, most)


class OnCard:
    """Mixin of a report with ``peaks``: its parts by the names that the JSON document gives them."""

    peaks: Peaks

    @property
    def peak_allocated_bytes(self) -> int:
        """Tensors at the peak, in the allocator's blocks."""
        return self.peaks.allocated

    @property
    def peak_reserved_bytes(self) -> int:
        """The allocator's segments at the peak."""
        return self.peaks.reserved

    @property
    def process_bytes(self) -> int:
        """The whole process at its peak; see `Peaks.process`."""
        return self.peaks.process

    @property
    def margin_bytes(self) -> int:
        """What the card has left; see `Peaks.margin`."""
        return self.peaks.margin

    @property
    def fits(self) -> bool:
        """Whether the card serves every request of the run."""
        return self.peaks.fits

    @property
    def verdict(self) -> Verdict:
        """``fits``, ``tight`` or ``does not fit``; see `Peaks.verdict`."""
        return self.peaks.verdict


@dataclass(frozen=True, slots=True)
class OutlierRange:
    """What the same run takes when data have fewer outliers, or more, than those that a report takes for granted.

    ``none`` is with no column kept apart, ``most`` with as many in every layer as the layer with most had, of the model
    that was measured (`inspector.simulate.setup.outliers`).
    """

    none: Peaks
    most: Peaks

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts of both ends, one where they are the same."""
        return (
            (self.none.verdict,) if self.none.verdict == self.most.verdict else (self.none.verdict, self.most.verdict)
        )


def outlier_range(
    stored: Quantization | None,
    config: Mapping[str, Any],
    traced: Callable[[], Sequence[Event]],
    card: Gpu,
    settings: AllocatorSettings,
) -> OutlierRange | None:
    """Both ends, each with a trace of its own; None where no weight is stored as LLM.int8."""
    if not _is_int8(stored, config):
        return None
    with assuming("none"):
        none = peaks_on(traced(), card, settings)
    with assuming("most"):
        return OutlierRange(none, peaks_on(traced(), card, settings))


def _is_int8(stored: Quantization | None, config: Mapping[str, Any]) -> bool:
    """Made on loading, or stored so in a checkpoint that bitsandbytes wrote."""
    if stored is None or stored.scheme != "bitsandbytes":
        return stored is not None and stored.scheme == "int8"
    published = published_in(config)
    return published is not None and published.bnb_type == "int8"
