"""Simulated generation as a terminal page and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render import kv_cache
from inspector.render.at_peak import how_it_came_about
from inspector.render.fit import STYLES
from inspector.render.simulate import mib_range, outlier_payload, verdict_words
from inspector.render.terminal import heading, notes, of_kind, page, table
from inspector.simulate.setup.generation import GenerateSettings
from inspector.units import count, mebibytes, percent

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.render.charts import Chart
    from inspector.simulate.generation import GenerateReport
    from inspector.simulate.reports.at_peak import Point


def text(report: GenerateReport) -> RenderableType:
    """The page `inspector simulate generate` prints."""
    peaks = table("peak", ("allocated", "right"), ("reserved", "right"))
    peaks.add_row("weights loaded", mebibytes(report.weights_bytes), "")
    for name, phase in ((first_phase(report), report.prefill), ("last token", report.last_token)):
        peaks.add_row(name, mebibytes(phase.peak_allocated), mebibytes(phase.peak_reserved))
    peaks.add_row("process", "", mebibytes(report.process_bytes))
    if report.outliers:
        peaks.add_row("by LLM.int8's outliers, none to most", "", mib_range(report.outliers))
    alive = table("alive at the peak", ("MiB", "right"), ("share", "right"))
    for kind, nbytes in report.alive_at_peak:
        alive.add_row(of_kind(kind), mebibytes(nbytes), percent(nbytes, report.peak_allocated_bytes))
    return page(
        heading(report.model, what(report)), peaks, *_caches(report), alive, _verdict(report), notes(_legend(report))
    )


def charts(report: GenerateReport) -> tuple[Chart, ...]:
    """The run, allocation by allocation, and how the cache grows."""
    from inspector.render.charts.cache_growth import cache_growth
    from inspector.render.charts.timeline import timeline

    drawn = timeline(report.timeline, report.timeline_kinds, report.gpu, phase_name, peak=report.peak_reserved_bytes)
    return drawn, cache_growth(report)


def first_phase(report: GenerateReport) -> str:
    """What comes before the tokens that are fed back."""
    return "encoder, first token" if report.cache.cross else "prefill"


def phase_name(point: Point) -> str:
    """``load``, ``prefill``, ``token 2``."""
    # The prefill gives the first token, so step 1 makes token 2.
    if point.step < 0:
        return "load"
    return f"token {point.step + 1:,}" if point.step else "prefill"


def what(report: GenerateReport) -> str:
    """The run in a line: batch, lengths, cache."""
    setup, stored = report.setup, report.setup.load.quantization
    # What has one size for any prompt is said by its own.
    prompt = report.inputs if report.one_size else f"prompt {count(setup.prompt_len)}"
    prompt += f", {count(setup.num_beams)} beams" if setup.num_beams > 1 else ""
    return (
        f"batch {count(setup.batch_size)}, {prompt}, {count(setup.max_new_tokens)} new tokens, "
        f"{setup.cache} cache, {setup.load.dtype}" + (f", {stored.scheme} weights" if stored else "")
    )


def _caches(report: GenerateReport) -> list[RenderableType]:
    cross = report.cache.cross_bytes(report.setup.sequences)
    rows = kv_cache.layers(report.cache)
    rows.add_row("at the last token", "", mebibytes(report.cache_bytes - cross), "", "")
    if not report.cache.cross:
        return [rows]
    beside = kv_cache.cross(report.cache)
    beside.add_row("from the first token on", "", mebibytes(cross), "")
    return [rows, beside]


def _verdict(report: GenerateReport) -> Text:
    card = report.gpu
    size = f"{mebibytes(card.available_bytes)} for the program ({mebibytes(card.usable_bytes)} less the context)"
    spare = f"{mebibytes(abs(report.margin_bytes))} {'to spare of' if report.fits else 'missing;'} {size}"
    if report.peaks.gives_back:
        # The margin is below zero then, but nothing is missing.
        spare = f"only by giving cached memory back; {size}"
    line = Text(f"{verdict_words(report).capitalize()} on {card.with_article}: {spare}", style=STYLES[report.verdict])
    if report.largest_prompt is not None:
        # The verdict's colour is of the whole text, and this is no verdict.
        line.append(f"\nLongest prompt that fits: {count(report.largest_prompt)} tokens", style="default")
        if report.context_length and report.largest_prompt > report.context_length:
            line.append(f" (the model was made for {count(report.context_length)})", style="default")
    return line


def _legend(report: GenerateReport) -> tuple[str, ...]:
    return (
        "MiB = 2^20 bytes. Allocated: tensors, in blocks; reserved: the caching allocator's segments.",
        *report.assumptions,
    )


def payload(report: GenerateReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.simulate.program.decoding``."""
    return {
        "model": report.model,
        "gpu": report.gpu.name,
        "usable_bytes": report.gpu.usable_bytes,
        "context_bytes": report.gpu.context_bytes,
        # The flat words that a user types, which can be given to the command again; the typed whole cannot.
        "settings": asdict(GenerateSettings.of(report.setup)),
        "weights_bytes": report.weights_bytes,
        "stages": {
            name: {"peak_allocated_bytes": phase.peak_allocated, "peak_reserved_bytes": phase.peak_reserved}
            for name, phase in (("prefill", report.prefill), ("last_token", report.last_token))
        },
        "peak_allocated_bytes": report.peak_allocated_bytes,
        "peak_reserved_bytes": report.peak_reserved_bytes,
        "process_bytes": report.process_bytes,
        "alive_at_peak": dict(report.alive_at_peak),
        **how_it_came_about(report),
        "versions": dict(report.versions),
        "cache_bytes": report.cache_bytes,
        "cache_token_bytes": report.cache.token_bytes,
        "cache_growing_token_bytes": report.cache.growing_token_bytes,
        "cache_state_bytes": report.cache.state_bytes,
        "cache_layers": kv_cache.rows(report.cache),
        "cross_bytes": report.cache.cross_bytes(report.setup.sequences),
        "cross_token_bytes": report.cache.cross_token_bytes,
        "cross_positions": report.cache.source,
        "cross_layers": kv_cache.layer_rows(report.cache.cross),
        "inputs": report.inputs,
        "outliers": outlier_payload(report.outliers),
        "verdict": report.verdict,
        "fits": report.fits,
        "margin_bytes": report.margin_bytes,
        "context_length": report.context_length,
        "largest_prompt": report.largest_prompt,
        "assumptions": list(report.assumptions),
    }
