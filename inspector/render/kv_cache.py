"""A model's KV cache as a terminal page, as JSON and as rows."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from inspector.render.terminal import heading, notes, page, table
from inspector.units import count, mebibytes

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from inspector.lenses.kv_cache import CacheReport


def text(report: CacheReport) -> RenderableType:
    """The layers' caches, like ones together."""
    return page(heading(report.model, f"KV cache in {report.dtype}"), layers(report), notes(report.assumptions))


def layers(report: CacheReport) -> Table:
    """The layers' caches, like ones together, and a sequence's: also part of a simulated generation's page."""
    made = table("KV cache", ("layers", "right"), ("bytes a token", "right"), ("window", "right"), ("fixed", "right"))
    for cells in alike(report):
        made.add_row(*cells)
    made.add_row("all, a sequence", count(len(report.layers)), count(report.token_bytes), "", "")
    return made


def alike(report: CacheReport) -> list[tuple[str, ...]]:
    """Like layers in one line: kind, layers, bytes a token, window, what does not grow."""
    # groupby joins neighbours only, and layers of two sorts take turns; None cannot be sorted among numbers.
    ordered = sorted(report.layers, key=lambda layer: (layer.kind, layer.token_bytes, layer.window or 0))
    return [
        (
            layer.kind,
            count(len(list(same))),
            count(layer.token_bytes),
            count(layer.window) if layer.window else "",
            mebibytes(layer.state_bytes) if layer.state_bytes else "",
        )
        for layer, same in groupby(ordered)
    ]


def payload(report: CacheReport) -> dict[str, Any]:
    """The content of a JSON document."""
    return {
        "model": report.model,
        "dtype": report.dtype,
        "token_bytes": report.token_bytes,
        "growing_token_bytes": report.growing_token_bytes,
        "state_bytes": report.state_bytes,
        "layers": rows(report),
        "assumptions": list(report.assumptions),
    }


def rows(report: CacheReport) -> list[dict[str, Any]]:
    """One row a layer, in order."""
    return [
        {
            "kind": layer.kind,
            "token_bytes": layer.token_bytes,
            "window": layer.window,
            "state_bytes": layer.state_bytes,
        }
        for layer in report.layers
    ]
