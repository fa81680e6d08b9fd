"""What is told of one rank among several: its card at its peaks, its share of the weights, what it sends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inspector.gpus.links import link_of
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.on_card import peaks_on
from inspector.simulate.parallel.distinct import MOST_NAMED, Alike
from inspector.simulate.parallel.nccl import nccl_bytes
from inspector.simulate.reports import at_peak

if TYPE_CHECKING:
    from inspector.gpus import Gpu
    from inspector.simulate.allocator.settings import AllocatorSettings
    from inspector.simulate.allocator.timeline import StagePeak
    from inspector.simulate.events import Stage
    from inspector.simulate.on_card import Peaks
    from inspector.simulate.parallel.rank_trace import Collective, RankTrace, Unit
    from inspector.simulate.reports.at_peak import KindLine, LiveTensor, Point, Share


@dataclass(frozen=True, slots=True)
class RankReport:
    """One rank's card, and how many ranks are as it is: ``members``, itself among them. All in bytes.

    ``after_training_allocated_bytes`` is what is still allocated after the last step. ``units`` are the weights that
    are gathered and let go as one; ``sharded_bytes`` is what the rank keeps of them, ``replicated_bytes`` what every
    rank keeps whole, ``gathered_bytes`` the largest unit while it is whole. ``host_bytes`` is in the machine's memory.
    The reserved bytes in ``peaks`` are of a card that keeps up with its host; ``reserved_behind_bytes`` is the most
    they come to where it falls behind, so that blocks which a stream still uses are not free yet.
    """

    rank: int
    alike: int
    members: tuple[int, ...]
    peaks: Peaks
    reserved_behind_bytes: int
    after_training_allocated_bytes: int
    peak_stage: Stage
    peak_step: int
    stages: tuple[StagePeak, ...]
    units: tuple[Unit, ...]
    replicated_bytes: int
    host_bytes: int
    paged_bytes: int
    alive_at_peak: tuple[Share, ...]
    largest_at_peak: tuple[LiveTensor, ...]
    timeline: tuple[Point, ...] = field(default=(), repr=False)
    timeline_kinds: tuple[KindLine, ...] = field(default=(), repr=False)
    streams: tuple[str, ...] = ("compute",)

    @property
    def sharded_bytes(self) -> int:
        """What this rank keeps of all units."""
        return sum(unit.rank_bytes for unit in self.units)

    @property
    def gathered_bytes(self) -> int:
        """The largest unit while it is whole; 0 where nothing is gathered."""
        return max((unit.whole_bytes for unit in self.units if unit.whole_bytes > unit.rank_bytes), default=0)

    @property
    def whole_bytes(self) -> int:
        """What one card would keep: all units whole, and what is in none."""
        return sum(unit.model_bytes or unit.whole_bytes for unit in self.units) + self.replicated_bytes


@dataclass(frozen=True, slots=True)
class Sent:
    """What a step sends by one kind of collective. ``seconds`` is an estimate, None where the link is not known."""

    collective: Collective
    seconds: float | None


def alike(chosen: tuple[int, ...], rank: int, world_size: int) -> Alike:
    """The ranks that are as this one where those are that come before the next that differs."""
    after = [each for each in chosen if each > rank]
    members = range(rank, after[0] if after else world_size)
    return Alike(rank, len(members), tuple(members) if len(members) <= MOST_NAMED else ())


def rank_report(
    trace: RankTrace, gpu: Gpu, allocator: AllocatorSettings, alike: Alike, capacity: int | None = None
) -> RankReport:
    """What a rank's trace takes on its card, and of which ranks that is told; ``capacity`` is as for `replay`."""
    line = replay(trace.events, allocator, capacity=capacity)
    alive, points = line.alive(trace.events), at_peak.points(trace.events, line)
    top = next(item for item in line.stages if item.peak_allocated == line.peak_allocated)
    return RankReport(
        rank=trace.rank,
        alike=alike.count,
        members=alike.ranks,
        peaks=peaks_on(trace.events, gpu, allocator, line, nccl_bytes(trace.collectives)),
        reserved_behind_bytes=replay(trace.events, allocator, behind=True, capacity=capacity).peak_reserved,
        after_training_allocated_bytes=line.stages[-1].end_allocated,
        peak_stage=top.stage,
        peak_step=top.step,
        stages=line.stages,
        units=trace.units,
        replicated_bytes=trace.replicated_bytes,
        host_bytes=trace.host_bytes,
        paged_bytes=trace.paged_bytes,
        alive_at_peak=at_peak.by_kind(alive),
        largest_at_peak=at_peak.largest(alive),
        timeline=points,
        timeline_kinds=at_peak.kinds_at(trace.events, line, points),
        streams=trace.streams,
    )


def seconds_of(sent: Collective, nodes: int, gpu: Gpu) -> float | None:
    """What a ring takes at the link's full speed, nothing hidden behind computation.

    Each card sends all but its own share once, and twice where all must have the sum. Between machines the network
    decides, of which nothing is known.
    """
    link = link_of(gpu)
    if link is None or nodes > 1 or sent.group_size < 2:
        return None
    rounds = 2 if sent.kind == "all-reduce" else 1
    return rounds * sent.nbytes * (sent.group_size - 1) / sent.group_size / link.bytes_per_second
