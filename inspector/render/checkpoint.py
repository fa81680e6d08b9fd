"""A checkpoint beside its skeleton, as a terminal page and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from inspector.render.terminal import heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import MB, count, short_count

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.checkpoint.against_skeleton import CheckpointReport
    from inspector.checkpoint.findings import Finding

_MOST = 12
"""Findings shown of one kind; the JSON has them all."""


def text(report: CheckpointReport) -> RenderableType:
    """The page `inspector checkpoint` prints."""
    files = f"{report.files} {report.format} file{'' if report.files == 1 else 's'}, {report.file_bytes / MB:,.1f} MB"
    published = f", published in {report.quantization}" if report.quantization else ""
    rows = table("stored as", ("tensors", "right"), ("MB", "right"))
    for dtype, number, nbytes in report.dtypes:
        rows.add_row(clean(dtype), count(number), f"{nbytes / MB:,.1f}")
    rows.add_row("all", count(report.num_tensors), f"{report.tensor_bytes / MB:,.1f}")
    per = f"{report.bits_per_parameter:.3f} bits a parameter"
    return page(
        heading(
            report.model,
            files + published,
            *((report.holds,) if report.holds else ()),
            f"{count(report.parameters)} logical parameters ({short_count(report.parameters)}), {per}",
        ),
        rows,
        *_overhead(report),
        *(_findings(title, found) for title, found in _lists(report) if found),
        notes((report.verdict, *report.notes)),
    )


def _overhead(report: CheckpointReport) -> list[RenderableType]:
    """Where the bytes of GGUF files are that are no tensor's."""
    # Only GGUF files carry a vocabulary; a safetensors file has its header, the difference of the two sums above.
    if not (found := report.overhead):
        return []
    rows = table("in the files", ("bytes", "right"))
    rows.add_row("metadata", count(found.metadata_bytes))
    rows.add_row("tokenizer", count(found.tokenizer_bytes))
    rows.add_row("list of tensors", count(found.tensor_info_bytes))
    rows.add_row("padding", count(found.padding_bytes))
    # So that the lines above the sum add up to it.
    rows.add_row("tensors", count(report.tensor_bytes))
    rows.add_row("all", count(report.file_bytes))
    return [rows]


def _lists(report: CheckpointReport) -> tuple[tuple[str, tuple[Finding, ...]], ...]:
    return (
        ("missing", report.missing),
        ("unexpected", report.unexpected),
        ("wrong shape", report.misshapen),
        # Last, for it costs only space: the model loads all the same.
        ("stored twice though tied", report.redundant),
    )


def _findings(title: str, found: tuple[Finding, ...]) -> RenderableType:
    rows = table(f"{title} ({count(len(found))})", "why")
    for finding in found[:_MOST]:
        rows.add_row(clean(finding.name), clean(finding.why))
    if len(found) > _MOST:
        rows.add_row(f"and {count(len(found) - _MOST)} more", "")
    return rows


def payload(report: CheckpointReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.checkpoint``."""
    return {
        "model": report.model,
        "file_format": report.format,
        "quantization": report.quantization,
        "num_files": report.files,
        "file_bytes": report.file_bytes,
        "num_tensors": report.num_tensors,
        "tensor_bytes": report.tensor_bytes,
        "constant_bytes": report.constant_bytes,
        "num_parameters": report.parameters,
        "bits_per_parameter": report.bits_per_parameter,
        "dtypes": rows(report),
        "holds": report.holds,
        "compared": report.compared,
        "missing": _rows(report.missing),
        "unexpected": _rows(report.unexpected),
        "wrong_shape": _rows(report.misshapen),
        "stored_twice": _rows(report.redundant),
        "overhead": asdict(report.overhead) if report.overhead else None,
        "notes": list(report.notes),
    }


def rows(report: CheckpointReport) -> list[dict[str, Any]]:
    """Bytes by stored dtype, for CSV and pandas."""
    return [{"dtype": dtype, "num_tensors": number, "bytes": nbytes} for dtype, number, nbytes in report.dtypes]


def _rows(found: tuple[Finding, ...]) -> list[dict[str, str]]:
    return [{"name": finding.name, "why": finding.why} for finding in found]
