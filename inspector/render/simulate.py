"""A simulated fine-tuning as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.fit.plan import FitPlan
from inspector.render import fit_plan, saved
from inspector.render.at_peak import how_it_came_about
from inspector.render.terminal import NARROW, Responsive, heading, notes, of_kind, page, table
from inspector.safe_text import clean
from inspector.simulate.setup.places import of_no_part
from inspector.units import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from inspector.render.charts import Chart
    from inspector.simulate.allocator.timeline import StagePeak
    from inspector.simulate.finetuning import StepReport
    from inspector.simulate.generation import GenerateReport
    from inspector.simulate.on_card import OutlierRange
    from inspector.simulate.reports.at_peak import Point, Share

VERDICT_STYLES = {"fits": "bold green", "tight": "bold yellow", "does not fit": "bold red"}
SHOWN_MODULES = 8


def text(report: StepReport) -> RenderableType:
    """The page `inspector simulate finetune` prints."""
    return page(
        heading(report.model, what(report)),
        _peaks(report),
        # A step stands below `fit` and knows its plan as a `Report` only.
        *(fit_plan.parts(report.plan) if isinstance(report.plan, FitPlan) else ()),
        _stages(report),
        _shares("alive at the peak", report.alive_at_peak, report.peak_allocated_bytes),
        # Largest first, so what is cut is the smallest; the JSON has all.
        _shares("by module", report.modules_at_peak[:SHOWN_MODULES], report.peak_allocated_bytes),
        Responsive(lambda width: _largest(report, narrow=width < NARROW)),
        *saved.parts(report.saved),
        _settings(report),
        # With the versions: which allocations a step makes is decided by the libraries' code.
        notes((*report.assumptions, _versions(report), "MiB = 2^20 bytes, in blocks as the allocator hands them out.")),
    )


def charts(report: StepReport) -> tuple[Chart, ...]:
    """The run, allocation by allocation."""
    from inspector.render.charts.timeline import timeline

    drawn = timeline(report.timeline, report.timeline_kinds, report.gpu, stage_name, peak=report.peak_reserved_bytes)
    return (drawn,)


def stage_name(point: Point | StagePeak) -> str:
    """``load``, ``step 1 forward``."""
    return point.stage if point.step < 0 else f"step {point.step + 1} {point.stage}"


def what(report: StepReport) -> str:
    """The run in a line: method, batch, optimizer."""
    setup = report.setup
    stored = setup.load.quantization
    quantized = f" on {stored.scheme}{'-dq' if stored.double_quant else ''}" if stored else ""
    batch = report.inputs or f"{setup.batch.size} x {setup.batch.seq_len} tokens"
    return f"{setup.method}{quantized}, {batch}, {setup.loop.optimizer}"


def _peaks(report: StepReport) -> Table:
    rows = table(f"on {report.gpu.with_article}", ("MiB", "right"))
    where = f"{report.peak_stage}, {'loading' if report.peak_step < 0 else f'step {report.peak_step + 1}'}"
    rows.add_row(f"peak allocated ({where})", _mib(report.peak_allocated_bytes))
    rows.add_row("peak reserved", _mib(report.peak_reserved_bytes))
    context = "measured" if report.gpu.context_measured else "the largest measured on any card"
    rows.add_row(f"CUDA context ({context})", _mib(report.gpu.context_bytes))
    rows.add_row(Text("whole process", style="bold"), Text(_mib(report.process_bytes), style="bold"))
    if report.peaks.context_more:
        rows.add_row("whole process, by flash-attn's version to", _mib(report.peaks.process_most))
    if report.outliers:
        rows.add_row("by LLM.int8's outliers, none to most", mib_range(report.outliers))
    rows.add_row("usable on the card", _mib(report.gpu.usable_bytes))
    verdict = Text(verdict_words(report), style=VERDICT_STYLES[report.verdict])
    rows.add_row(verdict, Text(f"{report.margin_bytes / 2**20:+,.1f}", style=VERDICT_STYLES[report.verdict]))
    return rows


def verdict_words(report: StepReport | GenerateReport) -> str:
    """The verdict, and those with other outliers where they are not the same."""
    if report.outliers is None or report.outliers.verdicts == (report.verdict,):
        return report.verdict
    return f"{report.verdict} (by LLM.int8's outliers: {' to '.join(report.outliers.verdicts)})"


def mib_range(outliers: OutlierRange) -> str:
    """``17,205.7-17,687.5``: the whole process with none and with most."""
    return f"{_mib(outliers.none.process)}-{_mib(outliers.most.process)}"


def outlier_payload(outliers: OutlierRange | None) -> dict[str, Any] | None:
    """What LLM.int8 takes at both ends of what data may have, for a JSON document."""
    if outliers is None:
        return None
    return {
        name: {
            "peak_allocated_bytes": peaks.allocated,
            "peak_reserved_bytes": peaks.reserved,
            "process_bytes": peaks.process,
            "verdict": peaks.verdict,
        }
        for name, peaks in (("none", outliers.none), ("most", outliers.most))
    }


def _stages(report: StepReport) -> Table:
    rows = table("stage", ("allocated", "right"), ("reserved", "right"), ("left behind", "right"))
    for item in report.stages:
        name = "load" if item.step < 0 else f"step {item.step + 1} {item.stage}"
        rows.add_row(name, _mib(item.peak_allocated), _mib(item.peak_reserved), _mib(item.end_allocated))
    return rows


def _shares(title: str, shares: Sequence[Share], whole: int) -> Table:
    rows = table(title, ("MiB", "right"), ("share", "right"))
    for share in shares:
        rows.add_row(of_kind(share.name or "(model)"), _small(share.nbytes), percent(share.nbytes, whole))
    return rows


def _largest(report: StepReport, *, narrow: bool) -> Table:
    more = () if narrow else ("made by",)
    rows = table("largest tensors", ("MiB", "right"), "kind", *more)
    for tensor in report.largest_at_peak:
        cells = [clean(tensor.module or "(model)"), _mib(tensor.nbytes), tensor.kind]
        rows.add_row(*cells, *(() if narrow else (clean(tensor.source),)))
    return rows


def _settings(report: StepReport) -> Table:
    rows = table("setting", "value", "set by")
    for name, setting in report.settings.items():
        if of_no_part(name, report.setup):
            continue
        # The user's own choices are to stand out from those that a library made.
        style = "dim" if setting["set_by"] == "library" else ""
        rows.add_row(name, Text(clean(said_of(setting["value"])), style=style), Text(setting["set_by"], style=style))
    return rows


def said_of(value: object) -> str:
    """A setting's value in words."""
    if isinstance(value, list):
        return ", ".join(map(_item, value)) or "-"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value) or "-"


def _item(item: object) -> str:
    """One of several: a name, a number, or a pair of a name and what it has (``q_proj=16``)."""
    if not isinstance(item, list):
        return said_of(item)
    # Settings are frozen: a mapping in them is pairs, and one whose name is empty is of what goes without one.
    name, what = (item[0], item[1]) if len(item) == 2 and isinstance(item[0], str) else ("", item)
    said = ",".join(map(_item, what)) if isinstance(what, list) else said_of(what)
    return f"{name}={said}" if name else said


def _versions(report: StepReport) -> str:
    return "simulated with " + ", ".join(f"{name} {version}" for name, version in report.versions.items())


def _mib(nbytes: int) -> str:
    return f"{nbytes / 2**20:,.1f}"


def _small(nbytes: int) -> str:
    # One decimal shows less than a twentieth of a MiB as 0.0.
    return _mib(nbytes) if nbytes >= 2**20 // 20 else f"{nbytes:,} B"


def payload(report: StepReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.simulate``."""
    return {
        "model": report.model,
        "gpu": {
            "name": report.gpu.name,
            "usable_bytes": report.gpu.usable_bytes,
            "context_bytes": report.gpu.context_bytes,
        },
        "inputs": report.inputs,
        "verdict": report.verdict,
        "fits": report.fits,
        "margin_bytes": report.margin_bytes,
        "peak_allocated_bytes": report.peak_allocated_bytes,
        "peak_reserved_bytes": report.peak_reserved_bytes,
        "steady_allocated_bytes": report.steady_allocated_bytes,
        "process_bytes": report.process_bytes,
        "process_most_bytes": report.peaks.process_most,
        "paged_bytes": report.paged_bytes,
        "peak_stage": report.peak_stage,
        "peak_step": report.peak_step,
        "stages": {
            stage: {"peak_allocated_bytes": allocated, "peak_reserved_bytes": reserved}
            for stage, (allocated, reserved) in report.stage_maxima().items()
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
        **how_it_came_about(report),
        "saved": saved.payload(report.saved),
        "outliers": outlier_payload(report.outliers),
        "plan": report.plan.to_dict() if report.plan else None,
        "settings": {name: dict(setting) for name, setting in report.settings.items()},
        "versions": dict(report.versions),
        "assumptions": list(report.assumptions),
    }
