"""A saved adapter, as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.terminal import heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import MB, count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from inspector.lenses.adapter_against_base import Finding
    from inspector.lenses.adapter_report import AdapterReport


def text(report: AdapterReport) -> RenderableType:
    """The page `inspector adapter` prints."""
    # Prompts and scaled vectors have neither a rank nor an alpha.
    rank = f", r={report.rank}" if report.rank else ""
    alpha = f", alpha={report.alpha:g}" if report.alpha else ""
    rows = table("part", ("tensors", "right"), ("parameters", "right"), ("MB", "right"))
    for part in report.parts:
        rows.add_row(clean(part.name), count(part.tensors), count(part.parameters), f"{part.nbytes / MB:,.2f}")
    rows.add_row("all", "", count(report.parameters), f"{report.tensor_bytes / MB:,.2f}")
    said = list(report.notes)
    if report.merge_elements:
        # The report has elements: PEFT makes an update in the dtype of the loaded adapter (Linear.get_delta_weight).
        size = f"{count(report.merge_elements)} elements, {2 * report.merge_elements / MB:,.1f} MB in bfloat16"
        said.insert(0, f"merging makes one update at a time; the largest has {size}, twice that with safe_merge")
    return page(
        heading(
            report.name,
            f"{report.method}{rank}{alpha}, on {count(report.modules)} modules",
            *_trained(report),
            f"base model: {report.base_model or 'not said'}",
        ),
        rows,
        *_answer(report),
        notes(said),
    )


def _trained(report: AdapterReport) -> Iterator[str]:
    if report.trained_parameters != report.parameters:
        yield f"{count(report.trained_parameters)} of the {count(report.parameters)} stored numbers were trained"


_ANSWERS = {
    "loads": "{loader} loads it on {base}",
    "warns": "{loader} loads it on {base}, with warnings",
    "fails": "{loader} does not load it on {base}",
}


def _answer(report: AdapterReport) -> Iterator[RenderableType]:
    """The loader's answer, and each finding with what to do about it."""
    base = report.base
    loader, on = (
        f"{base.loader} {base.peft}".rstrip(),
        f"{base.base} ({', loaded in '.join(filter(None, (base.model, base.loaded)))})",
    )
    said = _ANSWERS[base.answer].format(loader=loader, base=on) if base.answer in _ANSWERS else base.not_compared
    yield Text(clean(said), style="bold")
    if report.findings:
        yield Text("\n".join(line for each in report.findings for line in _lines(each)))


def _lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.level}: {clean(finding.what)}"
    if finding.todo:
        yield f"  {clean(finding.todo)}"


def payload(report: AdapterReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.lenses.saved_adapter``."""
    return {
        "name": report.name,
        "method": report.method,
        "base_model": report.base_model,
        "rank": report.rank,
        "alpha": report.alpha,
        "num_modules": report.modules,
        "num_parameters": report.parameters,
        "tensor_bytes": report.tensor_bytes,
        "file_bytes": report.file_bytes,
        "num_trained_parameters": report.trained_parameters,
        "merge_elements": report.merge_elements,
        "base": {
            "compared_with": report.base.base or None,
            "answer": report.base.answer,
            "not_compared": report.base.not_compared or None,
            "loader": report.base.loader,
            "peft": report.base.peft or None,
            "architecture": report.base.model or None,
            "resize_vocab": report.base.rows or None,
            "num_parameters": report.base.size.parameters if report.base.size else None,
            "tied": report.base.size.tied if report.base.size else None,
            "quantized": report.base.loaded or None,
            "unmerged": report.base.unmerged or None,
            "merge_warnings": list(report.base.merge_warnings),
            "num_parameters_merged": report.base.merged.parameters if report.base.merged else None,
            "tied_merged": report.base.merged.tied if report.base.merged else None,
        },
        "findings": [
            {"level": each.level, "what": each.what, "todo": each.todo or None, "num_tensors": each.tensors}
            for each in report.findings
        ],
        "parts": rows(report),
        "notes": list(report.notes),
    }


def rows(report: AdapterReport) -> list[dict[str, Any]]:
    """The parts flat, for CSV and pandas."""
    return [
        {"part": part.name, "num_tensors": part.tensors, "num_parameters": part.parameters, "bytes": part.nbytes}
        for part in report.parts
    ]
