"""What an engine makes of a card as a terminal page and as JSON: from the card's bytes down to tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.render.terminal import heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import GiB, count

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from inspector.render.charts import Chart
    from inspector.serving.figures import Span, Term
    from inspector.serving.report import ServingReport

_COLOURS = {"yes": "green", "no": "red", "unknown": "yellow"}


def text(report: ServingReport) -> RenderableType:
    """The page `inspector serving` prints: the answer, the waterfall, the cache, what was assumed."""
    where = f"{report.cards} x {report.card}" if report.cards > 1 else report.card
    parts: list[RenderableType] = [
        heading(f"{report.model} under {report.engine} {report.engine_version}", f"on {where}"),
        _answer(report),
        waterfall(report),
        _cache(report),
    ]
    if report.not_understood:
        parts.append(
            Text("not understood, and not counted: " + clean("; ".join(report.not_understood)), style="yellow")
        )
    parts.append(notes((*(f"assumed: {line}" for line in report.assumed), *report.notes, _LEGEND)))
    return page(*parts)


_LEGEND = (
    "GiB = 2^30 bytes, of the heaviest rank. exact: shapes and arithmetic; from the engine's rule: its own source; a "
    "range is what its logs printed. `inspector simulate generate` is transformers' whole prompt, no engine's."
)


def _answer(report: ServingReport) -> Text:
    said = Text("starts: ", style="bold")
    said.append(report.starts, style=_COLOURS[report.starts])
    if report.starts == "unknown":
        said.append("  the need lies within the range of what is left", style="not bold")
    if report.refusal:
        said.append(f"\n{clean(report.refusal)}", style="not bold")
    for line in report.helps:
        said.append(f"\n- {clean(line)}", style="not bold")
    return said


def waterfall(report: ServingReport) -> Table:
    """From the card's bytes to the cache's."""
    rows = table("of one card", ("GiB", "right"), ("range", "right"), "how known")
    rows.add_row("the card, as CUDA sees it", _gib(report.card_bytes), "", "exact")
    for number, term in enumerate(report.terms):
        sign = "" if number == 0 else "-"
        rows.add_row(clean(term.name), sign + _gib(term.span.value), _range(term.span), term.said)
        if term.name == "weights":
            for part in report.weights:
                rows.add_row(Text(f"  {part.name}", style="dim"), Text(_gib(part.nbytes), style="dim"), "", "")
    for name, nbytes in report.extra:
        rows.add_row(clean(name), _gib(nbytes), "", "exact")
    rows.add_row(
        Text("left for the KV cache", style="bold"), Text(_gib(report.kv_bytes.value), style="bold"),
        _range(report.kv_bytes), "",
    )  # fmt: skip
    return rows


def _cache(report: ServingReport) -> Table:
    cache = report.cache
    rows = table("KV cache", ("", "right"), ("range", "right"))
    rows.add_row("bytes a token on a card", count(cache.token_bytes), "")
    if cache.state_bytes:
        rows.add_row("bytes of a sequence's state", count(cache.state_bytes), "")
    if cache.block > 1:
        rows.add_row("tokens of a block", count(cache.block), "")
    if cache.groups > 1:
        rows.add_row("groups of layers", count(cache.groups), "")
    rows.add_row(f"one request of {count(report.max_model_len)}, GiB", _gib(cache.request_bytes), "")
    rows.add_row(Text("tokens"), count(report.kv_tokens.value), _counts(report.kv_tokens))
    rows.add_row(
        "requests of that length at once",
        f"{report.max_concurrency.value / 100:.2f}",
        _hundredths(report.max_concurrency),
    )
    if report.layers_that_fit:
        rows.add_row("layers that fit, the output one of them", count(report.layers_that_fit), "")
    longest = report.largest_max_model_len
    rows.add_row("largest length that starts", count(longest.value), _counts(longest))
    return rows


def _gib(nbytes: int) -> str:
    return f"{nbytes / GiB:,.2f}"


def _range(span: Span) -> str:
    return "" if span.is_exact else f"{span.low / GiB:,.2f} to {span.high / GiB:,.2f}"


def _counts(span: Span) -> str:
    return "" if span.is_exact else f"{count(span.low)} to {count(span.high)}"


def _hundredths(span: Span) -> str:
    return "" if span.is_exact else f"{span.low / 100:.2f} to {span.high / 100:.2f}"


def payload(report: ServingReport) -> dict[str, Any]:
    """The content of the JSON document ``inspector.serving``; bytes and tokens are integers."""
    hundredths = report.max_concurrency
    cache = report.cache
    return {
        "engine": report.engine,
        "engine_version": report.engine_version,
        "model": report.model,
        "card": report.card,
        "cards": report.cards,
        "starts": report.starts,
        "refusal": report.refusal,
        "card_bytes": report.card_bytes,
        **_span("weights_bytes", report.weights_bytes),
        **_span("kv_bytes", report.kv_bytes),
        **_span("kv_tokens", report.kv_tokens),
        "max_model_len": report.max_model_len,
        "max_concurrency": hundredths.value / 100,
        "max_concurrency_low": hundredths.low / 100,
        "max_concurrency_high": hundredths.high / 100,
        **_span("largest_max_model_len", report.largest_max_model_len),
        "kv_bytes_per_token": cache.token_bytes,
        "state_bytes": cache.state_bytes,
        "block_tokens": cache.block,
        "block_bytes": cache.block_bytes,
        "groups": cache.groups,
        "request_bytes": cache.request_bytes,
        "tokens_are_a_capacity": cache.grows,
        "terms": [_term(term) for term in report.terms],
        "weights": [{"name": part.name, "bytes": part.nbytes} for part in report.weights],
        "extra": [{"name": name, "bytes": nbytes} for name, nbytes in report.extra],
        "layers_that_fit": report.layers_that_fit,
        "helps": list(report.helps),
        "assumed": list(report.assumed),
        "not_understood": list(report.not_understood),
        "notes": list(report.notes),
    }


def _span(name: str, span: Span) -> dict[str, int]:
    return {name: span.value, f"{name}_low": span.low, f"{name}_high": span.high}


def _term(term: Term) -> dict[str, Any]:
    return {
        "name": term.name, **_span("bytes", term.span), "basis": term.basis, "logs": term.logs, "source": term.source,
    }  # fmt: skip


def charts(report: ServingReport) -> tuple[Chart, ...]:
    """The waterfall as a picture."""
    from inspector.render.charts.serving import serving_waterfall

    return (serving_waterfall(report),)
