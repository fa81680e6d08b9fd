"""The ranks of a script that was started by a launcher, and the cards of one that has several: each by itself."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from inspector.gpus.links import link_of
from inspector.simulate.allocator.settings import AllocatorSettings, parse_settings
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.events import Alloc
from inspector.simulate.parallel.distinct import Alike
from inspector.simulate.parallel.nccl import nccl_bytes
from inspector.simulate.parallel.rank_report import Sent, alike, rank_report, seconds_of
from inspector.simulate.parallel.rank_trace import Collective, RankTrace, Unit
from inspector.simulate.reports.of_card import events_of
from inspector.units import mebibytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.gpus import Gpu
    from inspector.simulate.allocator.timeline import Timeline
    from inspector.simulate.events import Event
    from inspector.simulate.parallel.rank_report import RankReport
    from inspector.simulate.script.job import Outcome


@dataclass(frozen=True, slots=True)
class Ranks:
    """What a script's processes take, each of its own card, or one process of several cards.

    ``each`` are those that were run, in order; every other is as the one of these before it. ``sent`` is what a steady
    step of the first sends. ``notes`` say what is odd about them.
    """

    of: Literal["rank", "card"]
    world_size: int
    machines: int
    each: tuple[RankReport, ...]
    sent: tuple[Sent, ...] = ()
    link: str = ""
    notes: tuple[str, ...] = ()

    @property
    def heaviest(self) -> RankReport:
        """The one whose process is the largest; the first of several."""
        return max(self.each, key=lambda rank: (rank.peaks.process, -rank.rank))

    @property
    def host_bytes_per_machine(self) -> int:
        """What the ranks of one machine keep in its memory."""
        return max(rank.host_bytes for rank in self.each) * (self.world_size // self.machines)


def of_one_card(outcome: Outcome, card: int) -> Outcome:
    """A process as one of its cards saw it."""
    if not outcome.cards and not card:
        return outcome
    return replace(outcome, events=_events(outcome, card), cards={}, card=0)


def _events(outcome: Outcome, card: int) -> tuple[Event, ...]:
    return events_of(outcome.events, defaultdict(int, outcome.cards), card)


def nccl_of(outcome: Outcome) -> tuple[int, int]:
    """The least and the most that NCCL takes beside a rank."""
    return nccl_bytes(_collectives(outcome))


def settings_of(outcome: Outcome) -> AllocatorSettings:
    """The allocator's settings that the process had."""
    return parse_settings(outcome.alloc_conf) if outcome.alloc_conf else AllocatorSettings()


def capacity_of(outcome: Outcome, gpu: Gpu) -> int | None:
    """Where a card's memory ended for the script; None where it had no end."""
    return gpu.available_bytes if outcome.full else None


def line_of(outcome: Outcome, gpu: Gpu) -> Timeline:
    """What a process did on its card, as the allocator served it there."""
    return replay(outcome.events, settings_of(outcome), capacity=capacity_of(outcome, gpu))


def of_processes(outcomes: Sequence[Outcome], gpu: Gpu) -> Ranks:
    """The ranks of a launched script, which were run in the order of their numbers."""
    first = outcomes[0]
    chosen = tuple(each.rank for each in outcomes)
    machines = max(first.world_size // first.on_a_machine, 1)
    traces = [_trace(each, each.rank, each.card, first.world_size) for each in outcomes]
    link, room = link_of(gpu), capacity_of(first, gpu)
    return Ranks(
        "rank",
        first.world_size,
        machines,
        tuple(
            rank_report(trace, gpu, settings_of(first), alike(chosen, trace.rank, first.world_size), room)
            for trace in traces
        ),
        tuple(Sent(each, seconds_of(each, machines, gpu)) for each in traces[0].collectives),
        link.name if link else "",
        tuple(note for each in outcomes for note in _elsewhere(each)),
    )


def of_cards(outcome: Outcome, gpu: Gpu) -> Ranks | None:
    """The cards of one process; None where it used the first alone."""
    used = sorted({0, *outcome.cards.values()})
    if len(used) == 1:
        return None
    traces = [_trace(outcome, card, card, len(used)) for card in used]
    settings, room = settings_of(outcome), capacity_of(outcome, gpu)
    return Ranks(
        "card",
        len(used),
        1,
        tuple(rank_report(trace, gpu, settings, Alike(trace.rank, 1, (trace.rank,)), room) for trace in traces),
    )


def _trace(outcome: Outcome, number: int, card: int, world_size: int) -> RankTrace:
    return RankTrace(
        rank=number,
        world_size=world_size,
        events=_events(outcome, card),
        steps=outcome.steps,
        units=tuple(Unit(*unit) for unit in outcome.units),
        replicated_bytes=outcome.replicated_bytes,
        collectives=_collectives(outcome),
        streams=outcome.streams,
        host_bytes=outcome.host_bytes,
        paged_bytes=outcome.paged_bytes,
    )


def _collectives(outcome: Outcome) -> tuple[Collective, ...]:
    return tuple(
        Collective(kind, nbytes, size, times)  # type: ignore[arg-type]
        for kind, nbytes, size, times in outcome.sent
    )


def _elsewhere(outcome: Outcome) -> list[str]:
    """What a rank has on the card of another: every rank that names no card has it on the first."""
    blocks = {event.block for event in outcome.events if isinstance(event, Alloc)}
    others = {outcome.cards.get(block, 0) for block in blocks} - {outcome.card}
    return [
        f"rank {outcome.rank} has {mebibytes(replay(_events(outcome, card)).peak_reserved)} on card {card} as well, "
        "which is another rank's: torch.cuda.set_device(LOCAL_RANK) keeps it off"
        for card in sorted(others)
    ]
