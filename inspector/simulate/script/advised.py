"""A report with what helps where a card is too small: each change is tried by a run of the script with it alone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict, Unpack

from inspector.simulate.script.advice import advise, candidates
from inspector.simulate.script.running import run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from inspector.simulate.on_card import Peaks
    from inspector.simulate.script.invocation import Invocation
    from inspector.simulate.script.overrides import Override
    from inspector.simulate.script.report import ScriptReport
    from inspector.simulate.setup.cards_asked import WhichRanks


class Options(TypedDict, total=False):
    """Options of `run` that a second run shares with the first."""

    assume: Mapping[str, str] | Sequence[str]
    data: Mapping[str, str] | Sequence[str]
    lengths: str
    worst: bool
    network: bool
    steps: int
    vram: str
    gpus: int
    timeout: float | None


def with_advice(
    report: ScriptReport,
    what: Invocation,
    *,
    told: Callable[[str], object] = lambda _: None,
    **options: Unpack[Options],
) -> ScriptReport:
    """The report with a `ScriptAdvice` for the first card that the script does not fit; as it is where it fits all.

    Args:
        report: of the script as it is.
        what: what was run.
        told: hears what is tried next.
        options: as it was run; without ``steps``, a second run ends soon after the step with the peak.
    """
    small = next((each for each in report.verdicts if not each.peaks.fits), None)
    # What failed of itself would fail again; what took less than its own peak says nothing of its changes.
    if small is None or (report.script_exit_code and not report.ended_by_card):
        return report
    card = "" if options.get("vram") else small.gpu.name
    # A peak in evaluation or saving is reached after the steps.
    ends = report.peak_stage in _TRAINING
    if report.stopped_after and not ends:  # nor would any other run come to an end of its own
        return report
    options["steps"] = options.get("steps", 0) or (_steps(report) if ends else 0)

    def again(override: Override) -> Peaks | None:
        words = [*(f"{name}={value}" for name, value in override.environment), *override.argv]
        told(" ".join(words) or "; ".join(edit.text.strip(" ,;") for edit in override.edits))
        tried = run(what, gpu=card, override=override, quiet=True, ends=ends, rank=rank, **options)
        return None if tried.script_exit_code or tried.stopped_after else tried.peaks

    # What is tried is tried on the rank that does not fit; the first is heard by all others.
    rank: WhichRanks = "first" if report.ranks is None or report.ranks.heaviest.rank == 0 else "all"
    alive = {share.name: share.nbytes for share in report.alive_at_peak}
    return replace(report, advice=advise(small.peaks, alive, candidates(what), again), advised_card=small.gpu.name)


_TRAINING = frozenset({"load", "adapters", "forward", "backward", "optimizer"})


def _steps(report: ScriptReport) -> int:
    """How many steps a second run needs: to the one with the peak, and two at least, so that one of them is steady."""
    return max(report.peak_step + 1, 2)
