"""A measurement beside its prediction, as a terminal page and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.render.terminal import heading, notes, page, table
from inspector.units import count, gibibytes, megabytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import RenderableType

    from inspector.measure.report import Comparison, Measurement
    from inspector.render.charts import Chart

    Sizes = Mapping[str, int | None]
    """Bytes by name, of one moment of a measurement."""

_WORDS = {
    "tensor_bytes": "tensors, constants and all",
    "footprint_bytes": "get_memory_footprint()",
    "lora_bytes": "LoRA adapters",
    "allocated_bytes": "allocated after the build",
    "reserved_bytes": "reserved after the build",
    "load_peak_allocated_bytes": "allocated at the build's peak",
    "load_peak_reserved_bytes": "reserved at the build's peak",
    "lora_allocated_bytes": "allocated by the adapters",
    "step_load_bytes": "step: ready to train",
    "step_forward_bytes": "step: forward, at its peak",
    "step_backward_bytes": "step: backward, at its peak",
    "step_optimizer_bytes": "step: optimizer, at its peak",
    "step_reserved_bytes": "step: reserved, at its peak",
}


def text(report: Measurement) -> RenderableType:
    """The page `inspector measure` prints."""
    result, spec = report.result, report.spec
    rows = f", {spec.vocabulary.call}" if spec.vocabulary else ""
    title = f"{spec.model}{f', {spec.layers} layers' if spec.layers else ''}{rows}, {spec.scheme}"
    if spec.parallel:
        title += f", {spec.parallel}, rank {spec.rank} of {spec.world_size}"
    device = result.get("device", {})
    weights = "random weights" if spec.weights == "random" else f"weights: {spec.weights}"
    parts: list[RenderableType] = [heading(title, f"{device.get('name', 'no device')}, {weights}", _outcome(report))]
    if report.comparisons:
        parts.append(_compared("", report.comparisons, names=_WORDS))
        parts.append(_compared("by part of the model", report.kinds))
    if "after_build" in result:
        parts.append(_memory(result["before"], result["after_build"], result["steady"]))
    if "step" in result:
        parts.append(_step(result["step"]))
    if "quality" in result:
        parts += [_quality(result["quality"]["schemes"]), _codes(result["quality"]["codes"])]
    parts.append(notes(_notes(report)))
    return page(*parts)


def charts(report: Measurement) -> tuple[Chart, ...]:
    """Every figure that was predicted and measured; none when nothing was."""
    from inspector.render.charts.measured import predicted_beside_measured

    return (predicted_beside_measured(report, _WORDS),) if report.comparisons else ()


def payload(report: Measurement) -> dict[str, Any]:
    """The content of the JSON document ``inspector.measure``."""
    return {
        "status": report.status,
        "agrees": report.agrees,
        "predicted": dict(report.predicted),
        "measured": dict(report.measured),
        "differences": rows(report),
        "unpredicted": report.unpredicted,
        "missing_bytes": report.missing_bytes,
        "date": report.date,
        "spec": report.spec.to_dict(),
        "result": dict(report.result),
    }


def rows(report: Measurement) -> list[dict[str, Any]]:
    """One row a compared figure."""
    return [
        {"name": each.name, "predicted": each.predicted, "measured": each.measured, "difference": each.difference,
         "percent": round(each.percent, 6), "cause": each.cause}
        for each in report.comparisons
    ]  # fmt: skip


def verdict(report: Measurement) -> str:
    """The answer in a word or two, for a listing."""
    if report.status != "measured":
        return report.status
    return "equal to the byte" if report.agrees else "DIFFERS"


def _outcome(report: Measurement) -> str:
    result = report.result
    if report.status == "measured":
        return f"built in {result['build_seconds']:,.1f} s: {verdict(report)}"
    reached = result.get("reached", {})
    where = f"{reached.get('stage', 'start')} {reached.get('name', '')}".strip()
    steps = f", {reached['done']} of {reached['total']} tensors done" if reached.get("total") else ""
    short = f", {count(report.missing_bytes)} bytes short" if report.missing_bytes else ""
    return f"{report.status} at {where}{steps}{short}: {result.get('said', '')}"


def _compared(title: str, rows: Iterable[Comparison], names: dict[str, str] | None = None) -> RenderableType:
    rows = tuple(rows)
    made = table("bytes", ("predicted", "right"), ("measured", "right"), ("difference", "right"), title=title)
    for row in rows:
        name = (names or {}).get(row.name, row.name)
        off = f"{row.difference:+,} ({row.percent:+.3f}%)" if row.difference else "0"
        made.add_row(name, count(row.predicted), count(row.measured), off)
    return made


def _memory(before: Sizes, after: Sizes, steady: Sizes) -> RenderableType:
    made = table("memory", ("before", "right"), ("loading, at its peak", "right"), ("after", "right"))
    rows = [("resident set of the process", "resident_bytes", "resident_peak_bytes")]
    # On a CPU no allocator counts, and NVML knows of no process.
    if "allocated_bytes" in steady:
        rows += [
            ("allocated", "allocated_bytes", "allocated_peak_bytes"),
            ("reserved", "reserved_bytes", "reserved_peak_bytes"),
            ("process, by NVML", "process_bytes", ""),
            ("of it the context", "context_bytes", ""),
        ]
    for name, now, peak in rows:
        shown = (before.get(now), after.get(peak) if peak else None, steady.get(now))
        made.add_row(name, *("-" if value is None else gibibytes(value) for value in shown))
    return made


def _step(step: Mapping[str, object]) -> RenderableType:
    made = table("training step", ("MiB", "right"))
    for key, value in step.items():
        # A step's record has sentences and a breakdown beside its figures; the notes have the one that matters.
        if key.endswith("_mib") and isinstance(value, float):
            made.add_row(key.removesuffix("_mib").replace("_", " "), f"{value:,.2f}")
    return made


def _quality(schemes: Mapping[str, Mapping[str, float]]) -> RenderableType:
    made = table("scheme", ("error of weights", "right"), ("error of outputs", "right"))
    for name, errors in schemes.items():
        made.add_row(name, f"{100 * errors['weight_error']:.3f}%", f"{100 * errors['output_error']:.3f}%")
    return made


def _codes(codes: Mapping[str, Sequence[float]]) -> RenderableType:
    made = table("four bits mean", *((name, "right") for name in codes))
    for number, values in enumerate(zip(*codes.values(), strict=True)):
        made.add_row(str(number), *(f"{value:+.4f}" for value in values))
    return made


def _notes(report: Measurement) -> Iterable[str]:
    result = report.result
    yield from (f"{each.name}: {each.cause}" for each in report.comparisons if each.cause)
    if report.unpredicted:
        yield report.unpredicted
    if "model" in result:
        model = result["model"]
        yield f"{count(model['storages'])} storages, {megabytes(model['constant_bytes'])} of it constants"
    if "quality" in result:
        yield f"errors: the first {result['quality']['rows']:,} rows of each linear of the first layer; weights only"
    if "step" in result:
        yield result["step"]["metric"]
    # The measuring machine's, which need not be those that predict now.
    yield ", ".join(f"{name} {value}" for name, value in result.get("versions", {}).items() if value)
