"""The colours of every picture: one colour for one thing, told apart with any colour vision.

Kinds of memory have the strong colours of Okabe and Ito (https://jfly.uni-koeln.de/color/), parts of a model the pale
ones Paul Tol made for cells with black text in them (https://sronpersonalpages.nl/~pault/, "light").
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.memory_kinds import MemoryKind

if TYPE_CHECKING:
    from inspector.skeleton import Part

BLUE, ORANGE, GREEN, SKY = "#0072B2", "#E69F00", "#009E73", "#56B4E9"
VERMILLION, PINK, YELLOW, GREY = "#D55E00", "#CC79A7", "#F0E442", "#8C8C8C"

BASE, CONSTANTS, ADAPTERS, UNQUANTIZED = BLUE, ORANGE, VERMILLION, SKY

KIND_COLOURS: dict[MemoryKind, str] = {
    MemoryKind.BASE_WEIGHTS: BASE,
    MemoryKind.QUANTIZATION_CONSTANTS: CONSTANTS,
    MemoryKind.ADAPTERS: ADAPTERS,
    MemoryKind.GRADIENTS: PINK,
    MemoryKind.OPTIMIZER_STATE: GREEN,
    # Okabe and Ito have eight, the kinds are fourteen: the dark ones here are from Paul Tol's "muted".
    MemoryKind.ACTIVATIONS: "#117733",
    MemoryKind.RECOMPUTATION: "#999933",
    MemoryKind.LOGITS_AND_LOSS: YELLOW,
    MemoryKind.DEQUANTIZED_WEIGHTS: "#332288",
    MemoryKind.TEMPORARIES: "#882255",
    MemoryKind.WORKSPACE: GREY,
    MemoryKind.BUFFERS: "#555555",
    MemoryKind.CACHE: "#44AA99",
    MemoryKind.INPUTS: "#BBBBBB",
}

PART_COLOURS: dict[Part, str] = {
    "embedding": "#FFAABB",
    "attention": "#77AADD",
    "mlp": "#44BB99",
    "expert": "#BBCC33",
    "norm": "#DDDDDD",
    "head": "#EEDD88",
    "other": "#99DDFF",
}

FROZEN = "#DDDDDD"
"""What does not train."""

# Only what systems have, because a page fetches nothing.
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', Arial, sans-serif"
MONO = "ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace"

LIGHT = {"paper": "#FFFFFF", "ink": "#1A1A1A", "soft": "#4D4D4D", "rule": "#BFBFBF", "panel": "#F2F2F2"}
DARK = {"paper": "#16181D", "ink": "#F2F2F2", "soft": "#C4C7CC", "rule": "#5B606B", "panel": "#252932"}

SMALLEST_TEXT = 24
"""Pixels: 18 pt, readable from the back of a room at 1280 x 720."""


def text_on(colour: str) -> str:
    """Black or white, whichever is easier to read on a colour (``#RRGGBB``), by WCAG's relative luminance."""
    light = luminance(colour)
    # WCAG 2 adds 0.05 to both luminances for the light that a screen reflects.
    return "#000000" if (light + 0.05) / 0.05 >= 1.05 / (light + 0.05) else "#FFFFFF"


def luminance(colour: str) -> float:
    """WCAG 2's relative luminance of ``#RRGGBB``, 0 to 1."""
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    # WCAG's 0.03928, not sRGB's 0.04045: of 256 levels none lies between the two.
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
