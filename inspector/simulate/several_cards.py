"""The dry run of a fine-tuning on several cards: one trace for each rank that differs. Imports torch when called."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from inspector.errors import CannotSimulateError
from inspector.gpus.links import link_of
from inspector.reporting import Report
from inspector.simulate.finetuning import needed
from inspector.simulate.parallel.distinct import Alike
from inspector.simulate.parallel.nccl import nccl_bytes
from inspector.simulate.parallel.rank_report import RankReport, Sent, rank_report, seconds_of
from inspector.simulate.reports.assumed import MICRO_BATCHES, assumptions, few_micro_batches
from inspector.simulate.reports.libraries import versions
from inspector.store.answers import answered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.gpus import Gpu
    from inspector.simulate.allocator.settings import AllocatorSettings
    from inspector.simulate.finetuning import Question
    from inspector.simulate.on_card import Verdict
    from inspector.simulate.parallel.rank_trace import RankTrace
    from inspector.simulate.setup.cards_asked import WhichRanks
    from inspector.simulate.setup.parallel import ParallelSetup
    from inspector.simulate.setup.training import TrainSetup

WORST: tuple[Verdict, ...] = ("does not fit", "tight", "fits")


@dataclass(frozen=True)
class SeveralCardsReport(Report):
    """A simulated fine-tuning on several cards alike: the ranks that differ, and what goes between them.

    ``ranks`` are those that were traced, in order; every other rank is as one of them. ``sent`` is a steady step's.
    ``set_at`` says which file set a field of ``parallel``, ``not_understood`` what of those files changes nothing.
    """

    kind: ClassVar[str] = "several_cards"

    model: str
    gpu: Gpu
    setup: TrainSetup
    parallel: ParallelSetup
    allocator: AllocatorSettings
    settings: Mapping[str, Mapping[str, Any]]
    ranks: tuple[RankReport, ...]
    sent: tuple[Sent, ...]
    link: str
    versions: Mapping[str, str]
    assumptions: tuple[str, ...]
    inputs: str = ""
    set_at: Mapping[str, str] = field(default_factory=dict)
    not_understood: tuple[str, ...] = ()

    @property
    def heaviest(self) -> RankReport:
        """The rank whose process is the largest; the first of several."""
        return max(self.ranks, key=lambda rank: (rank.peaks.process, -rank.rank))

    @property
    def verdict(self) -> Verdict:
        """That of the worst rank."""
        return min((rank.peaks.verdict for rank in self.ranks), key=WORST.index)

    @property
    def fits(self) -> bool:
        """Whether every card serves its rank."""
        return self.verdict != "does not fit"

    @property
    def host_bytes_per_node(self) -> int:
        """The most that the ranks of one machine have in its memory: the model as loaded, what is offloaded."""
        if self.parallel.one_copy_a_machine:
            return max(rank.host_bytes for rank in self.ranks)
        in_one = self.parallel.world_size // self.parallel.nodes
        shares = [(rank.host_bytes, sum(number < in_one for number in rank.members)) for rank in self.ranks]
        # Of ranks that were not asked for, the first that was tells.
        left = in_one - sum(count for _, count in shares)
        return sum(nbytes * count for nbytes, count in shares) + left * self.ranks[0].host_bytes

    @property
    def nccl_bytes(self) -> tuple[int, int]:
        """The least and the most that NCCL takes of each card besides; see its rule."""
        return nccl_bytes(each.collective for each in self.sent)

    @property
    def layers_are_units(self) -> bool:
        """Whether the repeated layers are units of their own, and not all in one that is gathered at once."""
        return any(part.isdigit() for unit in self.ranks[0].units for part in unit.name.split("."))


def finetune_on_cards(
    asked: Question, parallel: ParallelSetup, *, rank: WhichRanks = "all", set_at: Mapping[str, str] | None = None,
    not_understood: tuple[str, ...] = (),
) -> SeveralCardsReport:  # fmt: skip
    """Trace the ranks that differ and replay each on its card.

    Args:
        asked: the model, the settings and the card, as `inspector.simulate.finetuning.question` makes it; the batch is
            one rank's own.
        parallel: over how many cards, and how.
        rank: which of the differing ranks.
        set_at: which file set what, for the report.
        not_understood: lines about what in those files changes nothing.

    Raises:
        InspectorError: for what does not divide, or what a library refuses.
    """
    setup = asked.resolved.setup
    question = ("several cards", asked.config, setup, asked.allocator, asked.gpu, parallel, rank)
    kept = answered(question, SeveralCardsReport, lambda: _report(asked, parallel, rank))
    return replace(kept, model=asked.model, settings=asked.resolved.explained(), set_at=dict(set_at or {}),
                   not_understood=not_understood)  # fmt: skip


def _report(asked: Question, parallel: ParallelSetup, which: WhichRanks) -> SeveralCardsReport:
    setup, gpu = asked.resolved.setup, asked.gpu
    needed(setup)
    traced, chosen = traces_of(asked, parallel, which)
    reports = [rank_report(trace, gpu, asked.allocator, group) for trace, group in zip(traced, chosen, strict=True)]
    if which == "heaviest":
        reports = [max(reports, key=lambda rank: (rank.peaks.process, -rank.rank))]
    notes = tuple(dict.fromkeys(note for trace in traced for note in trace.notes))
    if _left_out(setup, parallel):
        notes += (
            "the evaluation is left out: over a map of layers, and generating, it is simulated on one card alone",
        )
    if setup.saving is not None:
        notes += ("what is saved is left out: it is simulated on one card alone",)
    link = link_of(gpu)
    return SeveralCardsReport(
        model=asked.model,
        gpu=gpu,
        setup=setup,
        parallel=parallel,
        allocator=asked.allocator,
        settings=asked.resolved.explained(),
        ranks=tuple(reports),
        sent=tuple(Sent(each, seconds_of(each, parallel.nodes, gpu)) for each in traced[0].collectives),
        link=link.name if link else "",
        versions=versions(),
        assumptions=(*notes, *assumptions(setup, gpu, traced[0].inputs)[1:]),
        inputs=traced[0].inputs,
    )


def _left_out(setup: TrainSetup, parallel: ParallelSetup) -> bool:
    """Whether an evaluation is not simulated on these cards."""
    asked = setup.evaluation
    return asked is not None and (parallel.strategy == "device_map" or asked.gathered == "generated")


ANSWERED = frozenset({"dpo", "kto", "orpo", "simpo", "cpo", "reward", "prm"})
"""Objectives whose answers are given: a rank's step is that of one card, within the wrapper. The others generate, or
have a teacher: under DDP by whole models, of which every other way of sharing makes another program."""


def _check_simulated(setup: TrainSetup, parallel: ParallelSetup) -> None:
    """Raise CannotSimulateError for an objective that is not simulated over these cards, and for threads that load."""
    asked = setup.objective
    if setup.load.threads:
        raise CannotSimulateError("threads that load are simulated on one card", hint="drop --load-threads")
    if asked is None:
        return
    if parallel.strategy != "ddp" and not (asked.kind in ANSWERED and parallel.strategy == "fsdp2"):
        raise CannotSimulateError(
            f"{asked.kind} over {parallel.words} is not simulated",
            hint=f"every objective is over ddp, {', '.join(sorted(ANSWERED))} over fsdp2; without --gpus it is "
            "simulated on one card",
        )


def traces_of(
    asked: Question, parallel: ParallelSetup, which: WhichRanks
) -> tuple[tuple[RankTrace, ...], tuple[Alike, ...]]:
    """Traces of the ranks that were asked for, each with those that are as it is."""
    # Of what is left out the assumptions say so: a trainer saves and evaluates more often than not.
    setup = replace(asked.resolved.setup, saving=None)
    if _left_out(setup, parallel):
        setup = replace(setup, evaluation=None)
    _check_simulated(setup, parallel)
    gpu, few = asked.gpu, few_micro_batches(setup, MICRO_BATCHES)
    if parallel.strategy == "device_map":
        from inspector.simulate.parallel.mapped import trace_mapped

        cards = parallel.world_size
        every = trace_mapped(asked.config, few, cards, gpu.available_bytes, gpu.capability, gpu.multiprocessors)
        shown = {"first": every[:1], "last": every[-1:]}.get(which, every)
        return shown, tuple(Alike(trace.rank, 1, (trace.rank,)) for trace in shown)
    from inspector.simulate.parallel.apart import traced_apart
    from inspector.simulate.parallel.ranks import alike, trace_ranks

    question = (asked.config, few, parallel, gpu.capability, gpu.multiprocessors)
    if parallel.strategy.startswith("zero"):
        from inspector.architecture.libraries import need_later

        need_later("deepspeed")
        known = alike(parallel, ())
        picked = {"first": known[:1], "last": known[-1:]}.get(which, known)
        return tuple(traced_apart(question, [group.first for group in picked])), picked

    def traced(ranks: list[int]) -> list[RankTrace]:
        # PyTorch's context parallelism replaces its attention for all threads of a process.
        return traced_apart(question, ranks) if parallel.cp > 1 else trace_ranks(*question, ranks)

    (first,) = traced([parallel.world_size - 1 if which == "last" else 0])
    chosen = alike(parallel, first.cuts)
    if which in {"first", "last"}:
        return (first,), (next((group for group in chosen if first.rank in group.ranks), chosen[-1]),)
    return (first, *(traced([group.first for group in chosen[1:]]) if chosen[1:] else ())), chosen
