"""A verdict and what would help, as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from inspector.render.fit import STYLES
from inspector.render.terminal import heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import MiB, count, gibibytes, mebibytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from inspector.fit.helping import Change
    from inspector.fit.plan import FitPlan
    from inspector.simulate.on_card import Peaks

_WORDS = {"batch_size": "batch size", "seq_len": "tokens a sample", "r": "rank"}


def text(report: FitPlan) -> RenderableType:
    """The page `inspector fit --gpu` prints."""
    settings = report.settings
    batch = report.inputs or f"{settings.batch_size} x {count(settings.seq_len)} tokens"
    what = f"{settings.method}, {batch}, {settings.optimizer}, on {report.gpu.name}"
    return page(
        heading(report.model, what),
        _verdict(report.peaks, report.gpu.with_article),
        *parts(report),
        notes((*report.assumptions, "MiB = 2^20 bytes.")),
    )


def parts(report: FitPlan) -> list[RenderableType]:
    """What the card cannot do, the changes and the largest settings: also part of a simulated step's page."""
    made: list[RenderableType] = []
    # Before any change of settings: what the card has no kernel or unit for stays so, whatever fits.
    if report.cannot:
        made.append(Text("\n".join(clean(line) for line in report.cannot), style="yellow"))
    if report.cause:
        made.append(Text(report.cause))
    if report.changes:
        made.append(_changes("One change by itself, the cause first, then the cheapest:", report.changes))
    if report.together:
        made.append(_changes("Together, one after the other:", report.together))
    # Only where none is enough alone are they tried together, so only there has that failed.
    elif report.changes and not any(change.peaks.fits for change in report.changes):
        made.append(Text("No run of these changes makes it fit.", style="red"))
    if report.smallest:
        made.append(_changes("All of this together still does not fit:", (report.smallest,)))
    if report.weights_alone:
        least, card = gibibytes(report.weights_alone), gibibytes(report.peaks.usable)
        made.append(
            Text(f"No change makes it fit: base weights alone take {least} at the least, of {card}.", style="red")
        )
    if report.largest:
        rows = table("largest that fits, the rest unchanged", ("", "right"))
        for name, value in report.largest:
            rows.add_row(_WORDS[name], count(value) if value else "none")
        made.append(rows)
    return made


def _verdict(peaks: Peaks, card: str) -> Text:
    sign = "to spare" if peaks.margin >= 0 else "missing"
    line = f"{peaks.verdict.capitalize()} on {card}: {mebibytes(abs(peaks.margin))} {sign}"
    line += f" ({mebibytes(peaks.process)} of {mebibytes(peaks.usable)})"
    if peaks.gives_back:
        line += ", only by giving cached memory back"
    return Text(line, style=f"bold {STYLES[peaks.verdict]}")


def _changes(title: str, changes: Sequence[Change]) -> RenderableType:
    # The sentence stands above: as a column's heading it would decide that column's width.
    rows = table("change", "cost", ("process MiB", "right"), ("left MiB", "right"), "verdict")
    for change in changes:
        peaks = change.peaks
        rows.add_row(
            clean(change.what),
            change.cost,
            f"{peaks.process / MiB:,.1f}",
            f"{peaks.margin / MiB:+,.1f}",
            Text(peaks.verdict, style=STYLES[peaks.verdict]),
        )
    return Group(Text(title), rows)


def payload(report: FitPlan) -> dict[str, Any]:
    """The content of the JSON document ``inspector.fit_plan``."""
    return {
        "model": report.model,
        "gpu": report.gpu.name,
        "inputs": report.inputs,
        **_peaks(report.peaks),
        "cannot": list(report.cannot),
        "changes": [_change(change) for change in report.changes],
        "together": [_change(change) for change in report.together],
        "largest": dict(report.largest),
        "cause": report.cause,
        "smallest": _change(report.smallest) if report.smallest else None,
        "weights_alone_bytes": report.weights_alone,
        "assumptions": list(report.assumptions),
    }


def rows(report: FitPlan) -> list[dict[str, Any]]:
    """The setup as it is, then the changes: one by one (``alone``), then added one after the other (``together``).

    ``all`` are all changes at once, which still do not fit.
    """
    tried = [("alone", change) for change in report.changes] + [("together", change) for change in report.together]
    tried += [("all", report.smallest)] if report.smallest else []
    return [
        {"tried": "as it is", "what": "", "cost": "", "settings": "", **_peaks(report.peaks)},
        *(
            {"tried": how, "what": change.what, "cost": change.cost, "settings": _said(change), **_peaks(change.peaks)}
            for how, change in tried
        ),
    ]


def _said(change: Change) -> str:
    """A change's settings as ``name=value``, one after the other."""
    values = {name: ",".join(value) if isinstance(value, tuple) else value for name, value in change.settings}
    return " ".join(f"{name}={value}" for name, value in values.items())


def _peaks(peaks: Peaks) -> dict[str, Any]:
    return {
        "verdict": peaks.verdict,
        "margin_bytes": peaks.margin,
        "peak_allocated_bytes": peaks.allocated,
        "peak_reserved_bytes": peaks.reserved,
        "process_bytes": peaks.process,
        "usable_bytes": peaks.usable,
        "needs_cached_memory_back": peaks.gives_back,
    }


def _change(change: Change) -> dict[str, Any]:
    settings = {name: list(value) if isinstance(value, tuple) else value for name, value in change.settings}
    return {"what": change.what, "cost": change.cost, "settings": settings, **_peaks(change.peaks)}
