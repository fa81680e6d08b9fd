"""A generation spread over cards, as a terminal page and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.card_bars import CardBar, bars
from inspector.render.fit import STYLES
from inspector.render.terminal import Responsive, heading, notes, page, table
from inspector.safe_text import clean
from inspector.simulate.setup.generation import GenerateSettings
from inspector.units import count, gibibytes, mebibytes

if TYPE_CHECKING:
    from rich.console import RenderableType

    from inspector.render.charts import Chart
    from inspector.simulate.split_generation import OneCard, SplitReport


def text(report: SplitReport) -> RenderableType:
    """The page `inspector simulate generate --gpus N` prints."""
    parts: list[RenderableType] = [heading(report.model, what(report)), _verdict(report)]
    if drawn := card_bars(report):
        parts += [Responsive(lambda width: bars(drawn, width)), _peaks(report)]
    if report.device_map is not None:
        parts.append(_map(report))
    return page(*parts, notes(_legend(report)))


def charts(report: SplitReport) -> tuple[Chart, ...]:
    """A bar a card; none where the map was refused."""
    from inspector.render.charts.cards import cards

    return (cards(drawn),) if (drawn := card_bars(report)) else ()


def word(report: SplitReport) -> str:
    """Under a map one process has all cards; else each has its own, a rank."""
    return "rank" if report.parallel else "card"


def card_bars(report: SplitReport) -> list[CardBar]:
    """The picture's bars."""
    return [
        CardBar.of(f"{word(report)} {card.card}", card.peaks, card.alive_at_peak)
        for card in report.cards
        if card.peaks is not None
    ]


def what(report: SplitReport) -> str:
    """The run in a line."""
    setup, stored = report.setup, report.setup.load.quantization
    weights = f"{stored.scheme} weights" if stored else f"{setup.load.dtype} weights"
    lengths = f"prompt {count(setup.prompt_len)}, {count(setup.max_new_tokens)} new tokens, {weights}"
    by = report.parallel if report.device_map is None else f'device_map="{report.device_map.how}"'
    return f"{by} over {len(report.cards)} x {report.gpu.name}; batch {count(setup.batch_size)}, {lengths}"


def verdict_line(report: SplitReport) -> str:
    """The verdict in a sentence, with what is missing."""
    if report.refused:
        host = gibibytes(report.cpu_bytes + report.disk_bytes)
        return f"Does not fit on {len(report.cards)} x {report.gpu.name}: {host} of weights go to the host" + _missing(
            report
        )
    worst = min((card for card in report.cards if card.peaks), key=lambda card: card.peaks.margin if card.peaks else 0)
    assert worst.peaks is not None
    spare = f"{word(report)} {worst.card} is the fullest, {mebibytes(abs(worst.peaks.margin))} " + (
        "to spare"
        if worst.peaks.margin >= 0
        else "missing"
        if not worst.peaks.fits
        else "made up by giving cached memory back"
    )
    line = f"{report.verdict.capitalize()} on {len(report.cards)} x {report.gpu.name}: {spare}"
    if report.cpu_bytes or report.disk_bytes:
        line += f"; {gibibytes(report.cpu_bytes + report.disk_bytes)} of weights stay on the host" + _missing(report)
    return line


def _missing(report: SplitReport) -> str:
    if not report.missing_bytes:
        return ""
    return f" ({gibibytes(report.missing_bytes)} more on each card would keep all on cards)"


def _verdict(report: SplitReport) -> Text:
    said = Text(verdict_line(report), style=STYLES[report.verdict])
    if report.refused:
        said.append(f"\nValueError: {clean(report.refused)}", style="default")
    return said


def _peaks(report: SplitReport) -> RenderableType:
    rows = table(
        word(report),
        *((name, "right") for name in ("weights", "cache", "prefill", "last token", "reserved", "process")),
    )
    for card in report.cards:
        if card.peaks is None or card.prefill is None or card.last_token is None:
            continue
        verdict = Text(f"{card.card} {card.peaks.verdict}", style=STYLES[card.peaks.verdict])
        sizes = (
            card.weights_bytes, card.cache_bytes, card.prefill.peak_allocated, card.last_token.peak_allocated,
            card.peaks.reserved, card.peaks.process,
        )  # fmt: skip
        rows.add_row(verdict, *(f"{size / 2**20:,.1f}" for size in sizes))
    return rows


def _map(report: SplitReport) -> RenderableType:
    rows = table("place", ("weights", "right"), "modules")
    for card in report.cards:
        rows.add_row(f"card {card.card}", mebibytes(card.weights_bytes), clean(", ".join(card.modules)) or "-")
    for name, modules, nbytes in (
        ("cpu", report.cpu_modules, report.cpu_bytes), ("disk", report.disk_modules, report.disk_bytes)
    ):  # fmt: skip
        if modules:
            rows.add_row(name, mebibytes(nbytes), clean(", ".join(modules)))
    return rows


def _legend(report: SplitReport) -> tuple[str, ...]:
    return ("MiB = 2^20 bytes, GiB = 2^30. Peaks are of tensors, in blocks.", *report.assumptions)


def payload(report: SplitReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.split``."""
    return {
        "model": report.model,
        "gpu": report.gpu.name,
        "gpus": len(report.cards),
        "usable_bytes": report.gpu.usable_bytes,
        "context_bytes": report.gpu.context_bytes,
        "device_map": report.device_map.how if report.device_map else None,
        "max_memory": {str(place): size for place, size in report.device_map.max_memory} if report.device_map else {},
        "parallel": report.parallel,
        "settings": asdict(GenerateSettings.of(report.setup)),
        "verdict": report.verdict,
        "fits": report.fits,
        "refused": report.refused,
        "missing_bytes_per_card": report.missing_bytes,
        "cards": [_card(card) for card in report.cards],
        "cpu": {"weights_bytes": report.cpu_bytes, "modules": list(report.cpu_modules)},
        "disk": {"weights_bytes": report.disk_bytes, "modules": list(report.disk_modules)},
        "versions": dict(report.versions),
        "assumptions": list(report.assumptions),
    }


def _card(card: OneCard) -> dict[str, Any]:
    peaks = card.peaks
    return {
        "card": card.card,
        "modules": list(card.modules),
        "weights_bytes": card.weights_bytes,
        "cache_bytes": card.cache_bytes,
        "prefill_peak_allocated_bytes": card.prefill.peak_allocated if card.prefill else None,
        "last_token_peak_allocated_bytes": card.last_token.peak_allocated if card.last_token else None,
        "peak_allocated_bytes": peaks.allocated if peaks else None,
        "peak_reserved_bytes": peaks.reserved if peaks else None,
        "process_bytes": peaks.process if peaks else None,
        "process_most_bytes": peaks.process_most if peaks else None,
        "margin_bytes": peaks.margin if peaks else None,
        "verdict": peaks.verdict if peaks else None,
        "alive_at_peak": {share.name: share.nbytes for share in card.alive_at_peak},
    }
