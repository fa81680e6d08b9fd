"""A model of many identical layers from two of few: the events of n layers and of n + 1 say those of any number.

What a layer adds to a trace is found by laying the two traces side by side: the longer one is the shorter one with one
more copy of some stretches (a layer's weights, its forward, its backward, its share of the optimizer). A `Pattern` is
the longer trace as single events and such stretches, and says of every free, in terms of the layer's number, which
block it frees. It is used only if it makes both traces again to the last event; where it does not, there is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.simulate.events import Alloc, Event, Free
from inspector.simulate.repeated_layers.alignment import NoPatternError, Piece, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Place = tuple[int, int, int]
    """Where a block is allocated: number of the piece, of the copy in it, of the allocation in the copy."""


def repeated(
    short: Sequence[Event], long: Sequence[Event], stacks: tuple[str, ...], extra: int
) -> tuple[Event, ...] | None:
    """The events of a model with ``extra`` layers more than the longer trace has; None when that cannot be said.

    Args:
        short: events of the model with n layers.
        long: events of the model with n + 1 layers.
        stacks: paths of which the next part is a layer's number, such as ``model.layers``.
        extra: layers to add.
    """
    try:
        pattern = Pattern(short, long, stacks)
        # The proof of the pattern: with no layer more and with one less it must say what was traced.
        if tuple(pattern.events(0)) != tuple(long) or tuple(pattern.events(-1)) != tuple(short):
            return None
    except NoPatternError:
        return None
    return tuple(pattern.events(extra))


@dataclass(frozen=True, slots=True)
class _Number:
    """A number that depends on the copy and on how many layers are added: ``start + slope * copy + growth * extra``."""

    start: int
    slope: int
    growth: int


_Allocs = tuple[_Number, Alloc, str, _Number | None, str]
"""Bytes, an example, and its module in three parts: before the layer's number, the number if any, after it."""
_Frees = tuple[int, int, _Number]
"""Which piece, which of its allocations in a copy, and the copy."""
_Row = _Allocs | _Frees | Event


class Pattern:
    """The longer of two traces, with stretches that may be repeated any number of times.

    The first copies of a stretch and the last are described by themselves: what they free may lie outside the layers.

    Raises NoPatternError when the two do not differ by whole copies of something.
    """

    def __init__(self, short: Sequence[Event], long: Sequence[Event], stacks: tuple[str, ...]) -> None:
        self._numbered = re.compile(rf"((?:^|\.)(?:{'|'.join(map(re.escape, stacks))})\.)(\d+)(?=\.|$)")
        self.pieces = pieces(short, long, lambda module: self._numbered.sub(r"\1*", module))
        self._long = _Placed(long, self.pieces)
        self._short = _Placed(short, [piece.without_one() for piece in self.pieces])
        self._rows = [self._rows_of(number, piece) for number, piece in enumerate(self.pieces)]

    def _rows_of(self, number: int, piece: Piece) -> list[list[_Row]]:
        """The events of each of the first copies, of one in the middle, and of the last."""
        last = piece.copies - 1
        # Of four copies: the first by itself, the second with the third for the slope, the last by itself.
        head = max(piece.copies - 3, 0)
        edges = [(copy, copy, copy) for copy in range(head)]
        if last:
            edges += [(head, head + 1, head), (last, last, last - 1)]
        return [[self._row(number, at, *edge) for at in range(piece.length)] for edge in edges or [(0, 0, 0)]]

    def _row(self, number: int, at: int, copy: int, other: int, fewer: int) -> _Row:
        """One event in general: as it is in a copy and another one, and in the same copy of the shorter trace."""
        one, two = self._long.event(number, copy, at), self._long.event(number, other, at)
        less = self._short.event(number, fewer, at)

        def general(value: int, another: int, before: int) -> _Number:
            slope = another - value
            return _Number(value - slope * copy, slope, value - before)

        if isinstance(one, Alloc) and isinstance(two, Alloc) and isinstance(less, Alloc):
            (before, layer, after), (_, second, _), (_, small, _) = map(self._split, (one, two, less))
            nbytes = general(one.nbytes, two.nbytes, less.nbytes)
            return nbytes, one, before, general(layer, second, small) if layer >= 0 else None, after
        if isinstance(one, Free) and isinstance(two, Free) and isinstance(less, Free):
            places = self._long.places
            home, which, count = places[one.block]
            # By place and not by number: numbers of blocks shift with every layer.
            return home, count, general(which, places[two.block][1], self._short.places[less.block][1])
        return one

    def _split(self, alloc: Alloc) -> tuple[str, int, str]:
        found = self._numbered.search(alloc.module)
        if found is None:
            return alloc.module, -1, ""
        return alloc.module[: found.end(1)], int(found[2]), alloc.module[found.end() :]

    def events(self, extra: int) -> Iterator[Event]:
        """The events with so many layers more. Raises NoPatternError when a free would find no block."""
        blocks: list[list[list[int]]] = [[] for _ in self.pieces]
        born = 0
        for piece, kinds, made in zip(self.pieces, self._rows, blocks, strict=True):
            copies = piece.copies + extra if piece.copies > 1 else 1
            middle = max(len(kinds) - 2, 0)
            for copy in range(copies):
                here: list[int] = []
                made.append(here)
                for row in kinds[-1] if copy == copies - 1 else kinds[min(copy, middle)]:
                    if not isinstance(row, tuple):
                        yield row
                    elif len(row) == 3:
                        home, count, which = row
                        yield Free(_block(blocks[home], which.start + which.slope * copy + which.growth * extra, count))
                    else:
                        nbytes, like, before, layer, after = row
                        module = before
                        if layer is not None:
                            module = f"{before}{layer.start + layer.slope * copy + layer.growth * extra}{after}"
                        yield Alloc(born, nbytes.start + nbytes.growth * extra, like.kind, module, like.source)
                        here.append(born)
                        born += 1


class _Placed:
    """A trace cut into pieces: the event at a place, and the place of each block's allocation."""

    def __init__(self, events: Sequence[Event], pieces: Sequence[Piece]) -> None:
        self._events = events
        self._pieces: list[tuple[int, int]] = []
        self.places: dict[int, Place] = {}
        at = 0
        for number, piece in enumerate(pieces):
            self._pieces.append((at, piece.length))
            for copy in range(piece.copies):
                count = 0
                for event in events[at : at + piece.length]:
                    if isinstance(event, Alloc):
                        self.places[event.block] = number, copy, count
                        count += 1
                at += piece.length

    def event(self, number: int, copy: int, at: int) -> Event:
        begin, length = self._pieces[number]
        return self._events[begin + copy * length + at]


def _block(copies: list[list[int]], copy: int, count: int) -> int:
    # A slope that leads outside the copies was none: Python would take a negative one from the end.
    if not 0 <= copy < len(copies) or count >= len(copies[copy]):
        raise NoPatternError
    return copies[copy][count]
