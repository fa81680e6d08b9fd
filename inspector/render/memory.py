"""Weight memory as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.gpus import Accelerator
from inspector.render.terminal import NARROW, Responsive, heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import MB, count, percent, short_count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from inspector.lenses.memory import MemoryReport
    from inspector.lenses.weights import Group, WeightsReport
    from inspector.render.charts import Chart

LOW_COVERAGE = 0.5
"""Below this share of quantized parameters the figure is red: the scheme's name promises what it does not keep."""


def text(report: MemoryReport) -> RenderableType:
    """The page `inspector memory` prints."""
    parameters = f"{count(report.parameters)} parameters ({short_count(report.parameters)})"
    if report.active_parameters != report.parameters:
        parameters += f", {count(report.active_parameters)} active for one token"
    return page(
        heading(report.model, parameters),
        Responsive(lambda width: _schemes(report, narrow=width < NARROW)),
        _waterfall(report.focus),
        Responsive(lambda width: _groups(report, narrow=width < NARROW)),
        notes((_LEGEND, *_of_card(report), *report.focus.assumptions)),
    )


def charts(report: MemoryReport) -> tuple[Chart, ...]:
    """Why the first scheme is not bits x parameters."""
    from inspector.render.charts.waterfall import scheme_waterfall

    return (scheme_waterfall(report.focus),)


def _mb(nbytes: int) -> str:
    return f"{nbytes / MB:,.1f}"


def _schemes(report: MemoryReport, *, narrow: bool) -> Table:
    more: tuple[tuple[str, Any], ...] = (
        () if narrow else (("naive", "right"), ("allocated", "right"), ("quantized", "right"))
    )
    left = () if report.card is None else ((f"left on {report.card.name}", "right"),)
    rows = table("scheme", ("footprint", "right"), ("true MB", "right"), *more[: 3 - len(left)], *left)
    for line in report.schemes:
        name = Text(line.scheme, style="bold" if line is report.focus else "")
        cells: list[Any] = [name, _mb(line.footprint_bytes), _mb(line.tensor_bytes)]
        if not narrow:
            covered = percent(line.quantized_parameters, line.parameters)
            style = "red" if line.coverage < LOW_COVERAGE else ""
            cells += [_mb(line.naive_bytes), _mb(line.allocated_bytes), Text(covered, style=style)][: 3 - len(left)]
        if report.card is not None:
            spare = report.left_bytes(line)
            cells.append(Text(f"{spare / MB:+,.1f}", style="red" if spare < 0 else ""))
        rows.add_row(*cells)
    return rows


def _waterfall(line: WeightsReport) -> Table:
    rows = table(f"why {line.scheme} is not {line.bits} bits x parameters", ("MB", "right"))
    rows.add_row(f"{count(line.parameters)} x {line.bits} bits", _mb(line.naive_bytes))
    for step in line.footprint_steps:
        rows.add_row(f"  {clean(step.cause)}", _signed(step.nbytes))
    rows.add_row(Text("get_memory_footprint()", style="bold"), Text(_mb(line.footprint_bytes), style="bold"))
    for step in line.constant_steps:
        rows.add_row(f"  {clean(step.cause)}", _signed(step.nbytes))
    rows.add_row(Text("true tensor bytes", style="bold"), Text(_mb(line.tensor_bytes), style="bold"))
    rows.add_row("  rounding to blocks of 512 bytes", _signed(line.rounding_bytes))
    rows.add_row(Text("allocated on CUDA", style="bold"), Text(_mb(line.allocated_bytes), style="bold"))
    return rows


def _signed(nbytes: int) -> str:
    """Megabytes with a sign; kilobytes where megabytes would round to nothing."""
    # One decimal shows less than a twentieth of a megabyte as 0.0.
    if abs(nbytes) >= MB // 20 or nbytes == 0:
        return f"{nbytes / MB:+,.1f}"
    return f"{nbytes:+,} B"


MOST = 5_000
"""Lines of a page; laying out a line takes a quarter of a millisecond. The JSON has them all."""


def _groups(report: MemoryReport, *, narrow: bool) -> Table:
    more: tuple[tuple[str, Any], ...] = () if narrow else (("parameters", "right"), ("quantized", "right"))
    rows = table(report.by, ("true MB", "right"), *more)
    for group in report.groups[:MOST]:
        # From 16 bits on nothing is to be quantized, so nothing is amiss.
        style = "red" if group.parameters and not group.quantized_parameters and report.focus.bits < 16 else ""
        size = _mb(group.tensor_bytes) if group.tensor_bytes >= MB // 20 else f"{group.tensor_bytes:,} B"
        cells: list[Any] = [clean(group.name or "(model)"), size]
        if not narrow:
            # A group may have buffers alone: of no parameters there is no share.
            covered = percent(group.quantized_parameters, group.parameters) if group.parameters else ""
            cells += [count(group.parameters), Text(covered, style=style)]
        rows.add_row(*cells)
    if (left := len(report.groups) - MOST) > 0:
        rows.add_row(f"and {count(left)} more, in --json")
    return rows


def _of_card(report: MemoryReport) -> tuple[str, ...]:
    """What the card's figure is, and what of it is taken already."""
    card = report.card
    if card is None:
        return ()
    if isinstance(card, Accelerator):
        four = (
            f"bitsandbytes runs on it from {card.bitsandbytes} on"
            if card.bitsandbytes
            else "bitsandbytes does not run on it"
        )
        return (*card.notes, f"{card.name}: {four}; activations, caches and the driver's own memory come on top")
    return (f"{card.name}: {card.usable_bytes / MB:,.1f} MB less the CUDA context; activations and caches come on top",)


_LEGEND = (
    "MB = 10^6 bytes. footprint: what transformers prints; true: every byte, with the quantization constants; "
    "naive: parameters x bits; allocated: what PyTorch's CUDA allocator holds after loading."
)


def payload(report: MemoryReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.lenses.memory``."""
    return {
        "model": report.model,
        "num_parameters": report.parameters,
        "num_active_parameters": report.active_parameters,
        "schemes": [
            {**_record(line), "steps": _steps(line), "assumptions": list(line.assumptions)} for line in report.schemes
        ],
        "focus": report.focus.scheme,
        "by": report.by,
        "groups": [_group(group) for group in report.groups],
        "card": _card(report),
    }


def _card(report: MemoryReport) -> dict[str, Any] | None:
    card = report.card
    if card is None:
        return None
    return {
        "name": card.name,
        "maker": card.maker if isinstance(card, Accelerator) else "NVIDIA",
        "usable_bytes": card.usable_bytes,
        "context_bytes": 0 if isinstance(card, Accelerator) else card.context_bytes,
        "figure": card.told if isinstance(card, Accelerator) else card.basis,
        "checked_against_a_measurement": not isinstance(card, Accelerator) and card.context_measured,
        "sources": list(card.sources),
        "left_bytes": {line.scheme: report.left_bytes(line) for line in report.schemes},
    }


def rows(report: MemoryReport) -> list[dict[str, Any]]:
    """The schemes flat, for CSV and pandas."""
    return [_record(line) for line in report.schemes]


def _record(line: WeightsReport) -> dict[str, Any]:
    return {
        "scheme": line.scheme,
        "bits": line.bits,
        "naive_bytes": line.naive_bytes,
        "footprint_bytes": line.footprint_bytes,
        "tensor_bytes": line.tensor_bytes,
        "allocated_bytes": line.allocated_bytes,
        "coverage": line.coverage,
        "num_parameters": line.parameters,
        "num_quantized_parameters": line.quantized_parameters,
        "bits_per_parameter": line.bits_per_parameter,
    }


def _steps(line: WeightsReport) -> list[dict[str, Any]]:
    return [{"cause": step.cause, "bytes": step.nbytes} for step in line.steps]


def _group(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "num_parameters": group.parameters,
        "num_quantized_parameters": group.quantized_parameters,
        "footprint_bytes": group.footprint_bytes,
        "tensor_bytes": group.tensor_bytes,
        "allocated_bytes": group.allocated_bytes,
    }
