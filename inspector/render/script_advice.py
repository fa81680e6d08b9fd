"""What helps a script that does not fit, as lines of its page and as part of its JSON document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.simulate import VERDICT_STYLES
from inspector.render.terminal import notes, table
from inspector.safe_text import clean
from inspector.units import MiB

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from inspector.simulate.script.advice import ScriptAdvice, Tried
    from inspector.simulate.script.report import ScriptReport


def parts(report: ScriptReport) -> list[RenderableType]:
    """Tables of the single changes that help, and of those that fit together; none where nothing was tried."""
    advice = report.advice
    if advice is None:
        return []
    shown: list[RenderableType] = []
    if advice.alone:
        shown.append(_table(f"one change, run again on {report.advised_card}", advice.alone))
    if advice.together is not None:
        shown.append(_table("together", (advice.together,)))
    elif advice.smallest is not None:
        shown.append(_table("the smallest of what was tried together", (advice.smallest,)))
    if not advice.alone:
        shown.append(notes([f"no change of the {advice.runs} that were tried saves what is worth a line"]))
    return shown


def _table(title: str, tried: tuple[Tried, ...]) -> Table:
    made = table(title, "costs", ("process MiB", "right"), "verdict")
    for one in tried:
        lines = [f"{clean(change.what)}{f'  ({change.place})' if change.place else ''}" for change in one.changes]
        costs = dict.fromkeys(clean(change.cost) for change in one.changes)
        verdict = Text(one.peaks.verdict, style=VERDICT_STYLES[one.peaks.verdict])
        made.add_row("\n".join(lines), "; ".join(costs), f"{one.peaks.process / MiB:,.1f}", verdict)
    return made


def payload(advice: ScriptAdvice | None, card: str) -> dict[str, Any] | None:
    """The ``advice`` of the JSON document; None where nothing was tried."""
    if advice is None:
        return None
    return {
        "gpu": card,
        "runs": advice.runs,
        "alone": [_tried(one) for one in advice.alone],
        "together": _tried(advice.together) if advice.together else None,
        "smallest": _tried(advice.smallest) if advice.smallest else None,
    }


def _tried(one: Tried) -> dict[str, Any]:
    return {
        "changes": [
            {"what": change.what, "cost": change.cost, "place": str(change.place) if change.place else None}
            for change in one.changes
        ],
        "verdict": one.peaks.verdict,
        "fits": one.peaks.fits,
        "peak_allocated_bytes": one.peaks.allocated,
        "peak_reserved_bytes": one.peaks.reserved,
        "process_bytes": one.peaks.process,
        "margin_bytes": one.peaks.margin,
    }
