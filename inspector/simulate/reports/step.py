"""What a dry run says: the peaks, what was alive at the highest one, and how it came about. Plain numbers in bytes."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from inspector.gpus import Verdict, verdict
from inspector.memory_kinds import MemoryKind
from inspector.simulate.events import STAGES, Alloc, Event, Free, Mark, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inspector.gpus import Gpu
    from inspector.reporting import Report
    from inspector.simulate.allocator.timeline import AliveBlock, StagePeak, Timeline
    from inspector.simulate.setup.finetuning import TrainSetup

TIMELINE_POINTS = 2000
LARGEST = 10


@dataclass(frozen=True, slots=True)
class Share:
    """Bytes of a kind, or of a module, alive at the peak."""

    name: str
    nbytes: int


@dataclass(frozen=True, slots=True)
class LiveTensor:
    """A tensor alive at the peak: what the allocator gave it, what it is, who made it."""

    nbytes: int
    kind: str
    module: str
    source: str


@dataclass(frozen=True, slots=True)
class Point:
    """The allocator after an event: bytes allocated and reserved."""

    event: int
    step: int
    stage: Stage
    allocated: int
    reserved: int


@dataclass(frozen=True, slots=True)
class KindLine:
    """Bytes of one kind at each point of a timeline; over all kinds they add up to what is allocated there."""

    kind: str
    nbytes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StepReport:
    """A simulated fine-tuning run on one card. All sizes are bytes.

    ``peak_allocated_bytes`` and ``peak_reserved_bytes`` are what ``torch.cuda.max_memory_allocated`` and
    ``max_memory_reserved`` would say at the end, loading included. ``process_bytes`` adds the CUDA context.
    ``steady_allocated_bytes`` is what is still allocated after the last step. ``paged_bytes`` is optimizer state in
    managed memory, which no allocator counts. ``stages`` has every stage of every step; step -1 is loading. ``events``
    are kept only when asked for. ``plan`` is what to change, where that was asked for
    (`inspector.fit.advise`). ``timeline_kinds`` splits the points of ``timeline``.
    """

    model: str
    gpu: Gpu
    setup: TrainSetup
    settings: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, str]
    peak_allocated_bytes: int
    peak_reserved_bytes: int
    steady_allocated_bytes: int
    process_bytes: int
    paged_bytes: int
    peak_stage: Stage
    peak_step: int
    stages: tuple[StagePeak, ...]
    alive_at_peak: tuple[Share, ...]
    modules_at_peak: tuple[Share, ...]
    largest_at_peak: tuple[LiveTensor, ...]
    timeline: tuple[Point, ...]
    num_events: int
    fits: bool
    needs_cached_memory_back: bool
    assumptions: tuple[str, ...] = ()
    events: tuple[Event, ...] = field(default=(), repr=False)
    plan: Report | None = None
    timeline_kinds: tuple[KindLine, ...] = ()

    @property
    def margin_bytes(self) -> int:
        """What the card has left at the peak; negative when it has too little."""
        return self.gpu.usable_bytes - self.process_bytes

    @property
    def verdict(self) -> Verdict:
        """``fits``, ``tight`` or ``does not fit``; see `inspector.gpus.verdict`."""
        return verdict(self.fits, self.margin_bytes, self.gpu.usable_bytes, gave_back=self.needs_cached_memory_back)

    def stage_peak(self, stage: Stage, step: int | None = None) -> StagePeak:
        """The stage of a step; of the last one when no step is said."""
        found = [item for item in self.stages if item.stage == stage and step in {None, item.step}]
        return found[-1]

    def stage_maxima(self) -> dict[Stage, tuple[int, int]]:
        """Highest allocated and reserved bytes of each stage over all steps."""
        return {
            stage: (
                max(item.peak_allocated for item in self.stages if item.stage == stage),
                max(item.peak_reserved for item in self.stages if item.stage == stage),
            )
            for stage in STAGES
            if any(item.stage == stage for item in self.stages)
        }


def by_kind(alive: Sequence[AliveBlock]) -> tuple[Share, ...]:
    """Bytes of each kind, most first."""
    return _shares(Counter(), ((str(item.alloc.kind), item.nbytes) for item in alive))


def by_module(alive: Sequence[AliveBlock]) -> tuple[Share, ...]:
    """Bytes of each module, the repeated layers taken together (``layers.*``), most first."""
    return _shares(Counter(), ((repeated(item.alloc.module), item.nbytes) for item in alive))


def repeated(module: str) -> str:
    """A module's path with every number in it replaced by a star, and PEFT's wrappers left out."""
    short = module.removeprefix("base_model.model.").replace(".base_layer", "").replace(".default", "")
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "*", short)


def _shares(counts: Counter[str], pairs: Any) -> tuple[Share, ...]:
    for name, nbytes in pairs:
        counts[name] += nbytes
    return tuple(Share(name, nbytes) for name, nbytes in counts.most_common())


def largest(alive: Sequence[AliveBlock], count: int = LARGEST) -> tuple[LiveTensor, ...]:
    """The largest tensors, biggest first."""
    ordered = sorted(alive, key=lambda item: -item.nbytes)[:count]
    return tuple(
        LiveTensor(item.nbytes, str(item.alloc.kind), item.alloc.module, item.alloc.source) for item in ordered
    )


def points(events: Sequence[Event], timeline: Timeline, most: int = TIMELINE_POINTS) -> tuple[Point, ...]:
    """The timeline, thinned: of every stretch of events the lowest and the highest levels are kept.

    No stretch is of two stages, so that the highest bytes of every stage, allocated and reserved, are among the points.
    """
    number_of_events = len(timeline.allocated)
    stretch = max(1, 2 * number_of_events // most)
    begins = {*range(0, number_of_events, stretch)}
    begins |= {number for number, event in enumerate(events[:number_of_events]) if isinstance(event, Mark)}
    ordered = [*sorted(begins), number_of_events]
    stage: Stage = "load"
    step = -1
    kept: list[Point] = []
    for begin, end in pairwise(ordered):
        chunk = range(begin, end)
        chosen = {pick(chunk, key=timeline.allocated.__getitem__) for pick in (min, max)}
        chosen.add(max(chunk, key=timeline.reserved.__getitem__))
        event = events[begin]
        if isinstance(event, Mark):
            stage, step = event.stage, event.step
            chosen.add(begin)
        kept += [
            Point(number, step, stage, timeline.allocated[number], timeline.reserved[number])
            for number in sorted(chosen)
        ]
    return tuple(kept)


def kinds_at(events: Sequence[Event], timeline: Timeline, kept: Sequence[Point]) -> tuple[KindLine, ...]:
    """Bytes of every kind at each of the points, in blocks as the allocator hands them out; kinds by their enum."""
    wanted = {point.event for point in kept}
    living: dict[int, tuple[MemoryKind, int]] = {}
    totals: Counter[MemoryKind] = Counter()
    rows: list[dict[MemoryKind, int]] = []
    before = 0
    for number, (event, after) in enumerate(zip(events, timeline.allocated, strict=False)):
        if isinstance(event, Alloc):
            living[event.block] = event.kind, after - before
            totals[event.kind] += after - before
        elif isinstance(event, Free):
            kind, nbytes = living.pop(event.block)
            totals[kind] -= nbytes
        if number in wanted:
            rows.append(dict(totals))
        before = after
    seen = [kind for kind in MemoryKind if any(row.get(kind) for row in rows)]
    return tuple(KindLine(str(kind), tuple(row.get(kind, 0) for row in rows)) for kind in seen)
