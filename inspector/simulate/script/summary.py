"""From what the child wrote to the report: the events replayed, and stages as they were found."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.gpus import shared
from inspector.simulate.on_card import peaks_on
from inspector.simulate.reports import at_peak
from inspector.simulate.reports.at_peak import Share
from inspector.simulate.reports.libraries import versions
from inspector.simulate.script.ranks import capacity_of, line_of, nccl_of, settings_of
from inspector.simulate.script.report import CardVerdict, Refusal, ScriptReport, StageLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.gpus import Gpu
    from inspector.simulate.allocator.timeline import AliveBlock, StagePeak
    from inspector.simulate.on_card import Peaks
    from inspector.simulate.script.job import Outcome
    from inspector.simulate.script.ranks import Ranks

_OF_A_STEP = frozenset({"forward", "backward", "optimizer"})


def summarize(
    script: str, runs: Sequence[tuple[Gpu, Outcome, bool]], *, named: bool, skipped: Sequence[str], keep_events: bool,
    ranks: Ranks | None = None,
) -> ScriptReport:  # fmt: skip
    """The report of a script's runs.

    Args:
        script: as typed.
        runs: for each card its run, and whether it is the first card's.
        named: whether the user named the cards, and wants verdicts.
        skipped: what was skipped before anything ran.
        keep_events: for a snapshot.
        ranks: of the first card, where there are several processes or cards; a run is then of the heaviest of them.

    Raises InspectorError where its time was up before it used the card.
    """
    gpu, outcome, _ = runs[0]
    settings = settings_of(outcome)
    events = outcome.events
    lines = {id(run): line_of(run, card) for card, run, _ in reversed(runs)}
    timeline = lines[id(outcome)]
    verdicts = tuple(
        CardVerdict(
            card,
            _served(run, peaks_on(run.events, card, settings, lines[id(run)], nccl_of(run))),
            shared,
            run.exit_code,
            run.error if run.exit_code else "",
        )
        for card, run, shared in runs
    )
    stopped = max(run.stopped_after for _, run, _ in runs)
    if stopped and not timeline.peak_allocated:
        raise InspectorError(
            f"{script} had put nothing on the card after {stopped:g} s", hint="give it a longer --timeout"
        )
    alive = timeline.alive(events)
    points = at_peak.points(events, timeline)
    tops = [item for item in timeline.stages if item.peak_allocated == timeline.peak_allocated]
    if not tops:
        raise InspectorError(f"{script} ended before it began", hint=outcome.error)
    return ScriptReport(
        script=script,
        model=outcome.model,
        gpu=gpu,
        allocator=settings,
        capacity=capacity_of(outcome, gpu),
        peaks=verdicts[0].peaks,
        verdicts=verdicts if named else (),
        script_exit_code=next((run.exit_code for _, run, _ in runs if run.exit_code), 0),
        error=outcome.error,
        steps=outcome.steps,
        steady_allocated_bytes=_steady(timeline.stages),
        paged_bytes=outcome.paged_bytes,
        peak_stage=tops[0].stage,
        peak_step=tops[0].step,
        stages=timeline.stages,
        found_stages=_found(timeline.stages),
        alive_at_peak=at_peak.by_kind(alive),
        modules_at_peak=at_peak.by_module(alive),
        lines_at_peak=_by_line(alive),
        largest_at_peak=at_peak.largest(alive),
        timeline=points,
        timeline_kinds=at_peak.kinds_at(events, timeline, points),
        num_events=len(events),
        versions=versions(),
        assumed=outcome.assumed,
        skipped=(*skipped, *outcome.skipped),
        assumptions=(*outcome.notes, *(ranks.notes if ranks else ()), *shared(gpu)),
        files=outcome.files,
        refusals=tuple(Refusal(line, nbytes) for line, nbytes in outcome.refused),
        ranks=ranks,
        stopped_after=stopped,
        events=events if keep_events else (),
    )


def _served(run: Outcome, peaks: Peaks) -> Peaks:
    """What the card refused and the script did not get over is in no event: the card is too small for it."""
    # Served requests alone say that it fits: a verdict from them would be the opposite of what happened.
    return replace(peaks, served="not") if run.ended_by_card else peaks


def _steady(stages: Sequence[StagePeak]) -> int:
    """What the last optimizer step left; at the end of all, where there was none."""
    ends = [item.end_allocated for item in stages if item.stage == "optimizer"]
    return ends[-1] if ends else stages[-1].end_allocated


def _by_line(alive: Sequence[AliveBlock]) -> tuple[Share, ...]:
    """Bytes by the script's line that made them, most first."""
    counts: Counter[str] = Counter()
    for item in alive:
        counts[item.alloc.line] += item.nbytes
    return tuple(Share(line, nbytes) for line, nbytes in counts.most_common())


def _found(stages: Sequence[StagePeak]) -> tuple[StageLine, ...]:
    """The stages in the order in which they first came, a step's three as one and the first step apart."""
    order: dict[str, list[StagePeak]] = {}
    steps: dict[str, set[int]] = {}
    for item in stages:
        name: str = item.stage
        if item.stage in _OF_A_STEP:
            name = "first step" if item.step == 0 else "steady step"
        order.setdefault(name, []).append(item)
        steps.setdefault(name, set()).add(item.step)
    return tuple(
        StageLine(
            name,
            max(item.peak_allocated for item in items),
            max(item.peak_reserved for item in items),
            len(steps[name]) if name.endswith("step") else len(items),
        )
        for name, items in order.items()
    )
