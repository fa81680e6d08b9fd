"""One colour is one kind of memory, told apart with any colour vision, the same everywhere it is drawn."""

import itertools
import math

import pytest

from inspector.lesson.texts.reading import LANGUAGES, texts
from inspector.memory_kinds import MemoryKind
from inspector.render.terminal import of_kind
from inspector.render.theme import DARK, KIND_COLOURS, KIND_HATCHES, LIGHT, PART_COLOURS, luminance, text_on

# Machado, Oliveira and Fernandes 2009, severity 1, in linear RGB (https://doi.org/10.1109/TVCG.2009.113).
VISIONS = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881),
    ),
    "protanopia": (
        (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998),
    ),
}  # fmt: skip
FAMILIES = sorted(set(KIND_COLOURS.values()))


def linear(colour):
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]


def lab(colour, vision):
    seen = [min(1.0, max(0.0, sum(a * b for a, b in zip(row, linear(colour), strict=True)))) for row in VISIONS[vision]]
    matrix = (0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041)
    xyz = [sum(a * b for a, b in zip(row, seen, strict=True)) for row in matrix]
    # Relative to the white of D65.
    x, y, z = (
        value ** (1 / 3) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116
        for value in (xyz[0] / 0.95047, xyz[1], xyz[2] / 1.08883)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def ciede2000(one, other):
    """Sharma, Wu and Dalal 2005 (https://doi.org/10.1002/col.20070), with all weights 1."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    mean = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    g = 0.5 * (1 - math.sqrt(mean**7 / (mean**7 + 25**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = math.hypot(a1, b1), math.hypot(a2, b2)
    h1, h2 = (math.degrees(math.atan2(b, a)) % 360 if a or b else 0.0 for a, b in ((a1, b1), (a2, b2)))
    turn = 0.0 if not c1 * c2 else (h2 - h1 + 180) % 360 - 180
    dl, dc, dh = l2 - l1, c2 - c1, 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2))
    lightness, c = (l1 + l2) / 2, (c1 + c2) / 2
    h = h1 + h2 if not c1 * c2 else (h1 + turn / 2) % 360
    t = (
        1 - 0.17 * math.cos(math.radians(h - 30)) + 0.24 * math.cos(math.radians(2 * h))
        + 0.32 * math.cos(math.radians(3 * h + 6)) - 0.20 * math.cos(math.radians(4 * h - 63))
    )  # fmt: skip
    sl = 1 + 0.015 * (lightness - 50) ** 2 / math.sqrt(20 + (lightness - 50) ** 2)
    sc, sh = 1 + 0.045 * c, 1 + 0.015 * c * t
    rt = -2 * math.sqrt(c**7 / (c**7 + 25**7)) * math.sin(math.radians(60 * math.exp(-(((h - 275) / 25) ** 2))))
    return math.sqrt((dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 + rt * dc / sc * dh / sh)


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_difference_is_the_published_one():
    """Two pairs of the data that Sharma, Wu and Dalal give."""
    assert ciede2000((50, 2.6772, -79.7751), (50, 0, -82.7485)) == pytest.approx(2.0425, abs=1e-4)
    assert ciede2000((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387)) == pytest.approx(1.2644, abs=1e-4)


@pytest.mark.parametrize("vision", VISIONS)
def test_kinds_are_told_apart(vision):
    smallest = min(
        ciede2000(lab(one, vision), lab(other, vision)) for one, other in itertools.combinations(FAMILIES, 2)
    )
    assert smallest >= 17


def test_every_kind_has_a_look_of_its_own():
    assert set(KIND_COLOURS) == set(MemoryKind)
    for language in LANGUAGES:
        say = texts(language)
        assert all(say(f"{part}.{kind.name.lower()}") for kind in MemoryKind for part in ("kinds", "short"))
    assert len(FAMILIES) == 8
    looks = [(KIND_COLOURS[kind], KIND_HATCHES.get(kind, "")) for kind in MemoryKind]
    assert len(set(looks)) == len(looks)
    # Parts of a model are base weights: tints of their blue, and no other kind's colour.
    assert not (set(PART_COLOURS.values()) & set(KIND_COLOURS.values())) - {KIND_COLOURS[MemoryKind.BASE_WEIGHTS]}


def test_ink_is_read_on_every_colour_and_outlines_on_both_papers():
    for colour in {*FAMILIES, *PART_COLOURS.values()}:
        assert contrast(colour, text_on(colour)) >= 4.5, colour
    for theme in (LIGHT, DARK):
        assert contrast(theme["ink"], theme["paper"]) >= 15
        assert contrast(theme["soft"], theme["paper"]) >= 7


def test_the_terminal_has_the_same_colours():
    for kind in MemoryKind:
        assert of_kind(kind.value).style.upper().endswith(f"ON {KIND_COLOURS[kind]}".upper())
    assert of_kind("model.layers.0").style == ""
