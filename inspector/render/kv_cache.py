"""A model's KV cache as a terminal page, as JSON and as rows."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from inspector.render.terminal import heading, notes, page, table
from inspector.units import count, mebibytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from inspector.lenses.kv_cache import CacheReport, LayerCache


def text(report: CacheReport) -> RenderableType:
    """The layers' caches, like ones together."""
    tables = [layers(report), *([cross(report)] if report.cross else [])]
    return page(heading(report.model, f"KV cache in {report.dtype}"), *tables, notes(report.assumptions))


def layers(report: CacheReport) -> Table:
    """The layers' caches, like ones together, and a sequence's: also part of a simulated generation's page."""
    made = table("KV cache", ("layers", "right"), ("bytes a token", "right"), ("window", "right"), ("fixed", "right"))
    for cells in alike(report.layers):
        made.add_row(*cells)
    made.add_row("all, a sequence", count(len(report.layers)), count(report.token_bytes), "", "")
    return made


def cross(report: CacheReport) -> Table:
    """What the layers keep of an encoder's output, in the same way."""
    made = table("cross-attention cache", ("layers", "right"), ("bytes a position", "right"), ("positions", "right"))
    positions = count(report.source) if report.source else ""
    for kind, layers, token_bytes, _window, _fixed in alike(report.cross):
        made.add_row(kind, layers, token_bytes, positions)
    made.add_row("all, a sequence", count(len(report.cross)), count(report.cross_token_bytes), positions)
    return made


def alike(layers: Sequence[LayerCache]) -> list[tuple[str, ...]]:
    """Like layers in one line: kind, layers, bytes a token, window, what does not grow."""
    # groupby joins neighbours only, and layers of two sorts take turns; None cannot be sorted among numbers.
    ordered = sorted(layers, key=lambda layer: (layer.kind, layer.token_bytes, layer.window or 0))
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
        "cross_token_bytes": report.cross_token_bytes,
        "cross_layers": layer_rows(report.cross),
        "assumptions": list(report.assumptions),
    }


def rows(report: CacheReport) -> list[dict[str, Any]]:
    """One row a layer, in order."""
    return layer_rows(report.layers)


def layer_rows(layers: Sequence[LayerCache]) -> list[dict[str, Any]]:
    """One row for each of these layers."""
    return [
        {
            "kind": layer.kind,
            "token_bytes": layer.token_bytes,
            "window": layer.window,
            "state_bytes": layer.state_bytes,
        }
        for layer in layers
    ]
