"""A user's script, dry run, as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render import script_advice, script_ranks
from inspector.render.at_peak import how_it_came_about
from inspector.render.simulate import VERDICT_STYLES, stage_name
from inspector.render.terminal import heading, notes, of_kind, page, table
from inspector.safe_text import clean
from inspector.units import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from inspector.render.charts import Chart
    from inspector.simulate.reports.at_peak import Share
    from inspector.simulate.script.report import CardVerdict, ScriptReport

SHOWN = 10
_STOPPED = "stopped after {:g} s (--timeout): what it would have done later is in no figure"


def text(report: ScriptReport) -> RenderableType:
    """The page `inspector run` prints after the script's own output."""
    return page(
        heading(report.script, what(report)),
        *script_ranks.parts(report),
        _peaks(report),
        *([_verdicts(report)] if len(report.verdicts) > 1 else []),
        *([_stages(report), *_alive(report)] if report.peak_allocated_bytes else []),
        *script_advice.parts(report),
        *_said("assumed, as nothing was computed", report.assumed),
        *_said("skipped", report.skipped),
        *_said("saved, by its size", [f"{path}: {nbytes:,} B" for path, nbytes in report.files[:SHOWN]]),
        *_said("refused by the card", [f"{item.line}: {item.nbytes:,} B" for item in report.refusals[:SHOWN]]),
        notes(
            (
                *report.assumptions,
                *(["nothing was put on the card"] if not report.peak_allocated_bytes else []),
                *([_STOPPED.format(report.stopped_after)] if report.stopped_after else []),
                "the script ran on shapes: what it prints of losses and scores was never computed",
                "simulated with " + ", ".join(f"{name} {version}" for name, version in report.versions.items()),
                "MiB = 2^20 bytes, in blocks as the allocator hands them out.",
            )
        ),
    )


def charts(report: ScriptReport) -> tuple[Chart, ...]:
    """The run, allocation by allocation, and a bar for each of several cards."""
    from inspector.render.charts.cards import cards
    from inspector.render.charts.timeline import timeline

    drawn = timeline(report.timeline, report.timeline_kinds, report.gpu, stage_name, peak=report.peak_reserved_bytes)
    return (drawn,) if report.ranks is None else (cards(script_ranks.drawn(report.ranks)), drawn)


def what(report: ScriptReport) -> str:
    """The run in a line: its model, its steps, how it ended."""
    steps = f"{report.steps:,} optimizer step{'s' * (report.steps != 1)}"
    ended = f"ended with exit code {report.script_exit_code}" if report.script_exit_code else ""
    stopped = f"stopped after {report.stopped_after:g} s" if report.stopped_after else ""
    return ", ".join(part for part in (clean(report.model), steps, stopped, ended) if part)


def _peaks(report: ScriptReport) -> Table:
    rows = table(f"on {report.gpu.with_article}", ("MiB", "right"))
    where = report.peak_stage if report.peak_step < 0 else f"{report.peak_stage}, step {report.peak_step + 1}"
    rows.add_row(f"peak allocated ({where})", _mib(report.peak_allocated_bytes))
    rows.add_row("peak reserved", _mib(report.peak_reserved_bytes))
    context = "measured" if report.gpu.context_measured else "the largest measured on any card"
    rows.add_row(f"CUDA context ({context})", _mib(report.gpu.context_bytes))
    rows.add_row(Text("whole process", style="bold"), Text(_mib(report.process_bytes), style="bold"))
    if report.paged_bytes:
        rows.add_row("paged optimizer state, in no figure above", _mib(report.paged_bytes))
    if report.verdicts and (report.peak_allocated_bytes or not report.script_exit_code):
        rows.add_row("usable on the card", _mib(report.gpu.usable_bytes))
        style = VERDICT_STYLES[report.verdict]
        rows.add_row(
            Text(verdict_words(report.verdict, report), style=style),
            Text(f"{report.margin_bytes / 2**20:+,.1f}", style=style),
        )
    return rows


def verdict_words(verdict: str, report: ScriptReport) -> str:
    """What does not fit stays so; of a script that was stopped, or broke, what fits has done so until then."""
    # Nothing is known of what would have come after.
    ended = report.stopped_after or report.script_exit_code
    if report.ended_by_card and verdict == "does not fit":
        return f"{verdict}: {_mib(report.refusals[-1].nbytes)} more were asked for"
    return f"{verdict} so far" if ended and verdict != "does not fit" else verdict


def _verdicts(report: ScriptReport) -> Table:
    rows = table("card", ("process MiB", "right"), ("left MiB", "right"), "verdict", "answered by")
    for each in report.verdicts:
        style = VERDICT_STYLES[each.verdict]
        rows.add_row(
            each.gpu.name,
            _mib(each.peaks.process),
            f"{each.peaks.margin / 2**20:+,.1f}",
            Text(verdict_words(each.verdict, report), style=style),
            _answered(each),
        )
    return rows


def _answered(each: CardVerdict) -> str:
    run = "this run" if each.same_trace else "a run of its own"
    ended = f", up to exit code {each.exit_code}: {each.error}" if each.exit_code else ""
    return clean(run + ended.removesuffix(": "))


def _stages(report: ScriptReport) -> Table:
    rows = table("stage", ("allocated", "right"), ("reserved", "right"), ("times", "right"))
    for item in report.found_stages:
        rows.add_row(item.name, _mib(item.peak_allocated), _mib(item.peak_reserved), f"{item.times:,}")
    return rows


def _shares(title: str, shares: Sequence[Share], whole: int) -> Table:
    rows = table(title, ("MiB", "right"), ("share", "right"))
    for share in shares:
        rows.add_row(of_kind(share.name or "(a library's own)"), _mib(share.nbytes), percent(share.nbytes, whole))
    return rows


def _alive(report: ScriptReport) -> list[Table]:
    whole = report.peak_allocated_bytes
    return [
        _shares("alive at the peak", report.alive_at_peak, whole),
        _shares("by the script's line", report.lines_at_peak[:SHOWN], whole),
    ]


def _said(title: str, lines: Sequence[str]) -> list[Table]:
    if not lines:
        return []
    rows = table(title)
    for line in lines:
        rows.add_row(clean(line))
    return [rows]


def _mib(nbytes: int) -> str:
    return f"{nbytes / 2**20:,.1f}"


def payload(report: ScriptReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.script``."""
    named = bool(report.verdicts)
    return {
        "script": report.script,
        "model": report.model,
        "gpu": {
            "name": report.gpu.name,
            "usable_bytes": report.gpu.usable_bytes,
            "context_bytes": report.gpu.context_bytes,
        },
        "verdict": report.verdict if named else None,
        "fits": report.fits if named else None,
        "margin_bytes": report.margin_bytes if named else None,
        "peak_allocated_bytes": report.peak_allocated_bytes,
        "peak_reserved_bytes": report.peak_reserved_bytes,
        "steady_allocated_bytes": report.steady_allocated_bytes,
        "process_bytes": report.process_bytes,
        "paged_bytes": report.paged_bytes,
        "peak_stage": report.peak_stage,
        "peak_step": report.peak_step,
        "script_exit_code": report.script_exit_code,
        "error": report.error,
        "optimizer_steps": report.steps,
        "stopped_after_seconds": report.stopped_after or None,
        "verdicts": [
            {
                "gpu": each.gpu.name,
                "verdict": each.verdict,
                "fits": each.peaks.fits,
                "peak_allocated_bytes": each.peaks.allocated,
                "peak_reserved_bytes": each.peaks.reserved,
                "process_bytes": each.peaks.process,
                "margin_bytes": each.peaks.margin,
                "usable_bytes": each.gpu.usable_bytes,
                "same_trace": each.same_trace,
                "script_exit_code": each.exit_code,
                "error": each.error,
            }
            for each in report.verdicts
        ],
        "stages": {
            item.name: {
                "peak_allocated_bytes": item.peak_allocated,
                "peak_reserved_bytes": item.peak_reserved,
                "times": item.times,
            }
            for item in report.found_stages
        },
        "steps": [
            {
                "step": item.step,
                "stage": item.stage,
                "peak_allocated_bytes": item.peak_allocated,
                "peak_reserved_bytes": item.peak_reserved,
                "end_allocated_bytes": item.end_allocated,
                "end_reserved_bytes": item.end_reserved,
            }
            for item in report.stages
        ],
        "alive_at_peak": {share.name: share.nbytes for share in report.alive_at_peak},
        "lines_at_peak": {share.name or "(library)": share.nbytes for share in report.lines_at_peak},
        **how_it_came_about(report),
        **script_ranks.payload(report.ranks),
        "assumed": list(report.assumed),
        "skipped": list(report.skipped),
        "assumptions": list(report.assumptions),
        "saved_files": [{"path": path, "bytes": nbytes} for path, nbytes in report.files],
        "refusals": [{"line": item.line, "bytes": item.nbytes} for item in report.refusals],
        "advice": script_advice.payload(report.advice, report.advised_card),
        "versions": dict(report.versions),
    }
