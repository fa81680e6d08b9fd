"""Stacked bars of memory as shares of one axis: drawn by the style sheet, so that a phone and paper draw them too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.memory_kinds import MemoryKind
from inspector.render.theme import KIND_COLOURS, KIND_HATCHES, text_on
from inspector.units import GB, MB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from inspector.lesson.texts import Texts

TRACK = 948
"""Pixels of an axis on the stage: 1168 less the names' column."""
CHARACTER = 13.4
"""Pixels a character of 24 px text takes on the average of the fonts a page may get."""
HATCHES = {"/": "slash", "\\": "back", "x": "cross", "-": "dash", ".": "dot"}


@dataclass(frozen=True, slots=True)
class Piece:
    """A kind of memory in a bar, in bytes, with what is written on it where there is room."""

    kind: str
    nbytes: int
    label: str = ""
    colour: str = ""
    hatch: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece as it is drawn: where it starts and how wide it is, as shares of the axis."""

    kind: str
    start: float
    width: float
    colour: str
    hatch: str
    label: str

    @property
    def lines(self) -> tuple[str, ...]:
        """Its label, a line each."""
        return tuple(self.label.split("\n"))

    @property
    def ink(self) -> str:
        """Colour of its text."""
        return text_on(self.colour)

    @property
    def hatch_name(self) -> str:
        """Its hatch as the style sheet calls it."""
        return HATCHES[self.hatch]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; ``end`` is a share of the axis, ``total`` what stands there, ``note`` more of it.

    ``below`` names the parts that have no room for a label, under the first of them (a share of the axis).
    """

    name: str
    parts: tuple[Part, ...]
    end: float
    total: str
    note: str = ""
    below: tuple[float, str] = (0.0, "")


@dataclass(frozen=True, slots=True)
class Line:
    """An upright line, such as what a card gives."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Stacks:
    """Bars on one axis that ends at ``end`` bytes, with the lines across them."""

    alt: str
    bars: tuple[Bar, ...]
    end: int
    lines: tuple[Line, ...] = ()


def kind_piece(kind: MemoryKind, nbytes: int, label: str = "") -> Piece:
    """A piece in its kind's colour and hatch."""
    return Piece(kind.value, nbytes, label, KIND_COLOURS[kind], KIND_HATCHES.get(kind, ""))


def pieces(alive: Iterable[tuple[str, int]]) -> list[Piece]:
    """What is alive at a peak, in the order of the kinds, so that each has one place in every bar."""
    found = dict(alive)
    return [kind_piece(kind, found[kind.value], kind.value) for kind in MemoryKind if found.get(kind.value)]


def stacked(
    bars: Sequence[tuple[str, Sequence[Piece], str]],
    say: Texts,
    *,
    end: int,
    alt: str,
    lines: Sequence[tuple[int, str]] = (),
    track: int = TRACK,
    tall: bool = False,
    beside: Sequence[str] = (),
) -> Stacks:
    """Bars of (name, pieces, total) on an axis that ends at ``end`` bytes; a label is shortened to what fits.

    Bars that are ``tall`` have room for two lines: the name above its number. ``beside`` are notes after the totals.
    Parts that have no room for a label are named below their bar.
    """
    # Tiny models have no gigabytes.
    unit, digits = (GB, 1) if end >= GB else (MB, 0)

    def number(nbytes: int) -> str:
        return say.number(nbytes / unit, digits)

    drawn = []
    for row, (name, given, total) in enumerate(bars):
        start, parts = 0, []
        for piece in given:
            label = _label(piece, track * piece.nbytes / end, number, tall=tall)
            parts.append(Part(piece.kind, start / end, piece.nbytes / end, piece.colour, piece.hatch, label))
            start += piece.nbytes
        note = beside[row] if beside else ""
        drawn.append(Bar(name, tuple(parts), start / end, total, note, _below(given, parts, track, number)))
    return Stacks(alt, tuple(drawn), end, tuple(Line(at / end, text) for at, text in lines))


def _below(
    given: Sequence[Piece], parts: Sequence[Part], track: int, number: Callable[[int], str]
) -> tuple[float, str]:
    """The parts that have no label and where the first of them starts; moved left as far as the words need."""
    thin = [
        (piece, part) for piece, part in zip(given, parts, strict=True)
        # What rounds to nothing is in the drawer alone.
        if piece.label and not part.label and number(piece.nbytes).strip("0.,")
    ]  # fmt: skip
    if not thin:
        return 0.0, ""
    words = [(piece.nbytes, f"{piece.label} {number(piece.nbytes)}") for piece, _ in thin]
    # The smallest give way where all have no room: the drawer has them.
    while len(words) > 1 and CHARACTER * len(", ".join(told for _, told in words)) > 0.94 * track:
        words.remove(min(words))
    text = ", ".join(told for _, told in words)
    return max(0.0, min(thin[0][1].start, 0.97 - CHARACTER * len(text) / track)), text


def _label(piece: Piece, wide: float, number: Callable[[int], str], *, tall: bool) -> str:
    """``base weights 7.7`` where there is room, else ``7.7``, else nothing."""
    said = number(piece.nbytes)
    ways = (f"{piece.label} {said}", *([f"{piece.label}\n{said}"] if tall else []), said) if piece.label else ()
    fits = (way for way in ways if CHARACTER * max(map(len, way.split("\n"))) + 12 <= wide)
    return next(fits, "")
