"""LoRA tables as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.terminal import NARROW, Responsive, heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import MB, count, percent, short_count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from inspector.lora import LoraReport, LoraRow


def text(report: LoraReport) -> RenderableType:
    """The page `inspector lora` prints."""
    return page(
        heading(report.model, f"{count(report.parameters)} parameters ({short_count(report.parameters)}), all frozen"),
        Responsive(lambda width: _table(report, narrow=width < NARROW)),
        _targets(report),
        notes((_LEGEND, *report.assumptions)),
    )


def _table(report: LoraReport, *, narrow: bool) -> Table:
    more = (
        () if narrow else (("%", "right"), ("bf16", "right"), ("grads", "right"), ("Adam", "right"), ("file", "right"))
    )
    rows = table("targets", ("r", "right"), ("trainable", "right"), ("fp32 MB", "right"), *more)
    last = ""
    for row in report.rows:
        # Once a set, so that its ranks are seen to belong together.
        cells = ["" if row.target_set == last else clean(row.target_set), str(row.r), count(row.trainable_parameters)]
        cells.append(_mb(row.fp32_bytes))
        if not narrow:
            # Two digits: with one, a low rank on a few modules would be <0.1 like the next. The heading has the sign.
            share = percent(row.trainable_parameters, row.base_parameters, 2).rstrip("%")
            sizes = (row.bf16_bytes, row.gradient_bytes, row.adam_bytes, row.adapter_file_bytes)
            cells += [share, *map(_mb, sizes)]
        rows.add_row(*cells)
        last = row.target_set
    return rows


def _mb(nbytes: int) -> str:
    return f"{nbytes / MB:,.1f}"


def _targets(report: LoraReport) -> Text:
    """What each set means, and PEFT's own line for its largest rank."""
    # By rank, so that of each set the largest is what stays, in whatever order ranks were asked for.
    largest = {row.target_set: row for row in sorted(report.rows, key=lambda row: row.r)}
    lines = Text()
    for name, row in largest.items():
        lines.append(clean(name), style="bold")
        lines.append(f": {clean(_names(row))} ({count(row.modules)} modules)\n")
        lines.append(f"  r={row.r} alpha={row.alpha}, as PEFT prints it: {_printed(row)}\n", style="dim")
    lines.rstrip()
    return lines


def _names(row: LoraRow) -> str:
    """The targets, with how many modules each means where there are several names."""
    if len(row.matched) < 2:
        return ", ".join(row.target_modules)
    return ", ".join(f"{name} {count(number)}" for name, number in row.matched)


def _printed(row: LoraRow) -> str:
    """The line of ``print_trainable_parameters()``, character for character."""
    trainable, everything = f"{row.trainable_parameters:,d}", f"{row.all_parameters:,d}"
    return f"trainable params: {trainable} || all params: {everything} || trainable%: {row.percent_printed:.4f}"


_LEGEND = (
    "MB = 10^6 bytes. %: of the base model's parameters. grads and Adam (two moments): in the trained dtype. "
    "file: adapter_model.safetensors, header included. Rule of thumb: r 8, then 16, then 32, alpha twice r."
)


def payload(report: LoraReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.lora``."""
    return {
        "model": report.model,
        "num_parameters": report.parameters,
        "rows": rows(report),
        "assumptions": list(report.assumptions),
    }


def rows(report: LoraReport) -> list[dict[str, Any]]:
    """The rows flat, for CSV and pandas."""
    return [_record(row) for row in report.rows]


def _record(row: LoraRow) -> dict[str, Any]:
    return {
        "target_set": row.target_set,
        "target_modules": list(row.target_modules),
        "r": row.r,
        "alpha": row.alpha,
        "num_modules": row.modules,
        "trainable_parameters": row.trainable_parameters,
        "all_parameters": row.all_parameters,
        "percent_of_base": row.percent_of_base,
        "percent_printed_by_peft": row.percent_printed,
        "weight_bytes": row.weight_bytes,
        "fp32_bytes": row.fp32_bytes,
        "bf16_bytes": row.bf16_bytes,
        "gradient_bytes": row.gradient_bytes,
        "adam_bytes": row.adam_bytes,
        "adapter_file_bytes": row.adapter_file_bytes,
        "matched": [{"name": name, "num_modules": number} for name, number in row.matched],
        "warnings": list(row.warnings),
    }
