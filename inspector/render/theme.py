"""The colours of every picture: one colour is one kind of memory, in both themes, told apart with any colour vision.

Eight colours for eight kinds; finer kinds share the hue of their kind and have a hatch. Between any two CIEDE2000 is at
least 17 with normal vision, without red and without green cones (tests hold that). What bounds an area is its outline
in ink, so that pale ones stand on white and dark ones on black.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.memory_kinds import MemoryKind

if TYPE_CHECKING:
    from inspector.skeleton import Part

BASE, CONSTANTS, ADAPTERS, GRADIENTS = "#0072B2", "#04BBFD", "#D55E00", "#FEC3C9"
OPTIMIZER, ACTIVATIONS, LOGITS, GREY = "#254A2B", "#E4E367", "#503050", "#848586"

KIND_COLOURS: dict[MemoryKind, str] = {
    MemoryKind.BASE_WEIGHTS: BASE,
    MemoryKind.REFERENCE: BASE,
    MemoryKind.REWARD: BASE,
    MemoryKind.TEACHER: BASE,
    MemoryKind.ENGINE: ACTIVATIONS,
    MemoryKind.QUANTIZATION_CONSTANTS: CONSTANTS,
    MemoryKind.ADAPTERS: ADAPTERS,
    MemoryKind.GRADIENTS: GRADIENTS,
    MemoryKind.OPTIMIZER_STATE: OPTIMIZER,
    MemoryKind.ACTIVATIONS: ACTIVATIONS,
    MemoryKind.RECOMPUTATION: ACTIVATIONS,
    MemoryKind.LOGITS_AND_LOSS: LOGITS,
    MemoryKind.DEQUANTIZED_WEIGHTS: BASE,
    MemoryKind.GATHERED_WEIGHTS: BASE,
    MemoryKind.COMMUNICATION: GREY,
    MemoryKind.TEMPORARIES: GREY,
    MemoryKind.WORKSPACE: GREY,
    MemoryKind.BUFFERS: GREY,
    MemoryKind.CACHE: ACTIVATIONS,
    MemoryKind.INPUTS: GREY,
}

KIND_HATCHES: dict[MemoryKind, str] = {
    MemoryKind.RECOMPUTATION: "/",
    MemoryKind.CACHE: "-",
    MemoryKind.REFERENCE: "-",
    MemoryKind.REWARD: "|",
    MemoryKind.TEACHER: ".",
    MemoryKind.ENGINE: "x",
    MemoryKind.DEQUANTIZED_WEIGHTS: "x",
    MemoryKind.GATHERED_WEIGHTS: "/",
    MemoryKind.COMMUNICATION: "|",
    MemoryKind.TEMPORARIES: "/",
    MemoryKind.WORKSPACE: "\\",
    MemoryKind.BUFFERS: "x",
    MemoryKind.INPUTS: ".",
}
"""Finer kinds have the hue of their kind and a hatch, in plotly's words (``marker.pattern.shape``)."""

TINT, FROZEN, NORMS = "#7FB8D8", "#D6E8F3", "#E0E0E0"
PART_COLOURS: dict[Part, str] = {
    "embedding": BASE,
    "attention": BASE,
    "mlp": TINT,
    "expert": TINT,
    "norm": NORMS,
    "head": BASE,
    "other": FROZEN,
}
"""Parts of a model are base weights, and so tints of their blue; ``FROZEN`` is what does not train."""
PART_HATCHES: dict[Part, str] = {"embedding": "/", "head": "/"}
UNQUANTIZED = "/"
"""The hatch of weights that keep 16 bits."""

OUTLINE = 1.5
"""Pixels of the outline of every area."""

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
