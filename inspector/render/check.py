"""A repository's limits and what they say today, as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.fit.checks.limits import shown
from inspector.render.simulate import VERDICT_STYLES
from inspector.render.terminal import heading, notes, page, table
from inspector.reporting import renderer
from inspector.safe_text import clean
from inspector.units import mebibytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from inspector.fit.checks.report import Checked, CheckReport, Failed, Fits, Held

_LONG = ("timeline", "timeline_kinds", "steps")
"""What of a run's own document stays out of this one: nothing is compared by it, and it is most of the bytes."""


def text(report: CheckReport) -> RenderableType:
    """The page `inspector check` prints."""
    broken = [run for run in report.runs if not run.holds]
    count = len(report.runs) + len(report.failed)
    runs = f"{count} run{'s' * (count != 1)}"
    said = f"{len(broken)} of {runs} broke: {_names(broken)}" if broken else f"{runs}, every limit holds"
    if report.failed:
        without = f"{_names(report.failed)} without an answer"
        said = f"{said}; {without}" if broken else f"{runs}: {without}, every other limit holds"
    parts = [heading(clean(report.file), said), *map(_run, report.runs), *map(_failed, report.failed)]
    legend = ["peak: the whole process, what the card must hold. MiB = 2^20 bytes, GiB = 2^30."]
    if report.updated:
        legend.insert(0, f"today's figures are written into {report.file}")
    return page(*parts, notes(legend))


def _names(runs: Sequence[Checked | Failed]) -> str:
    return ", ".join(run.name for run in runs)


def _failed(run: Failed) -> RenderableType:
    rows = table(f"{clean(run.name)}: not simulated", "")
    rows.add_row(f"{clean(run.at)}: {clean(run.error)}")
    if run.hint:
        rows.add_row(f"  {clean(run.hint)}")
    return rows


def _run(run: Checked) -> RenderableType:
    rows = table(f"{clean(run.name)}: {clean(run.what)}, on {clean(run.card)}", ("today", "right"), "")
    for held in run.limits:
        rows.add_row(clean(held.text), _value(held), _verdict(holds=held.holds, said=over(held)))
    for each in run.fits:
        said = each.verdict if each.holds is not None else f"{each.verdict} so far"
        rows.add_row(f"fits {clean(each.card)}", _left(each), _verdict(holds=each.holds, said=said))
    if not run.limits and not run.fits:
        rows.add_row("no limit; peak", mebibytes(run.figures["peak"]), "")
    if run.error:
        rows.add_row(clean(run.error), "", _verdict(holds=False, said="no verdict"))
    for name, said in run.was.items():
        rows.add_row(f"  {clean(name)} was", clean(said), Text("changed", style="dim"))
    return rows


def over(held: Held) -> str:
    """``holds``, or by how much it does not; of a run that ended early, so far."""
    if held.holds or held.holds is None:
        return "holds" if held.holds else "holds so far"
    side = "short by" if held.measured < held.bound else "over by"
    return f"{side} {shown(held.unit, held.over)}" if held.over else "just not"


def _value(held: Held) -> str:
    return shown(held.unit, held.measured)


def _left(each: Fits) -> str:
    return f"{'+' if each.margin >= 0 else '-'}{mebibytes(abs(each.margin))}"


def _verdict(*, holds: bool | None, said: str) -> Text:
    return Text(said, style="dim" if holds is None else VERDICT_STYLES["fits" if holds else "does not fit"])


def payload(report: CheckReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.check``."""
    return {
        "file": report.file,
        "holds": report.holds,
        "broken": [run.name for run in report.runs if not run.holds],
        "failed": [{"name": run.name, "at": run.at, "error": run.error, "hint": run.hint} for run in report.failed],
        "updated": report.updated,
        "runs": [_run_payload(run) for run in report.runs],
    }


def _run_payload(run: Checked) -> dict[str, Any]:
    trained = {"trainable"} & set(run.figures)
    return {
        "name": run.name,
        "kind": run.kind,
        "what": run.what,
        "at": run.at,
        "gpu": run.card,
        "holds": run.holds,
        "error": run.error,
        "figures": {f"{name}_bytes": size for name, size in run.figures.items() if name not in trained},
        "trainable_parameters": run.figures.get("trainable"),
        "all_parameters": run.all_parameters if trained else None,
        "limits": [
            {
                "limit": held.text,
                "figure": held.figure,
                "unit": held.unit,
                "value": held.value,
                "bound": _number(held.bound),
                "over": _number(held.over),
                "holds": held.holds,
            }
            for held in run.limits
        ],
        "fits": [
            {"gpu": each.card, "verdict": each.verdict, "margin_bytes": each.margin, "holds": each.holds}
            for each in run.fits
        ],
        "today": dict(run.today),
        "was": dict(run.was),
        "report": {"format": f"inspector.{run.report.kind}", **_short(renderer(run.report.kind).payload(run.report))},
    }


def _number(amount: Any) -> int | float:
    return int(amount) if amount.denominator == 1 else float(amount)


def _short(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in _LONG}
