"""Two traces side by side: where the longer one has one more copy of a stretch of events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.simulate.events import Alloc, Free

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from inspector.simulate.events import Event

_LOOK_AHEAD = 3
"""Events that must agree after a copy for it to be taken as the one that the shorter trace lacks."""
_COPIES = 4
"""Fewest copies in the longer trace: the first, the last, and two in between that show how a number changes."""


class NoPatternError(Exception):
    """The two traces do not differ by whole copies of something."""


@dataclass(frozen=True, slots=True)
class Piece:
    """``copies`` of a stretch of ``length`` events, from event ``begin`` of the longer trace on; one: no repetition."""

    begin: int
    length: int
    copies: int

    @property
    def end(self) -> int:
        """The event after the last."""
        return self.begin + self.length * self.copies

    def without_one(self) -> Piece:
        """The same in the shorter trace."""
        return Piece(self.begin, self.length, self.copies - 1) if self.copies > 1 else self


def pieces(short: Sequence[Event], long: Sequence[Event], general: Callable[[str], str]) -> list[Piece]:
    """The longer trace as single events and repeated stretches, in order; ``general`` hides a module's layer number.

    Raises NoPatternError when the shorter one is not the longer one with one copy less of each repeated stretch.
    """
    names: dict[Any, int] = {}
    fewer, more = (_named(events, general, names) for events in (short, long))
    found: list[Piece] = []
    at, there = 0, 0
    while there < len(more[0]):
        if at < len(fewer[0]) and fewer[0][at] == more[0][there]:
            at, there = at + 1, there + 1
        # Before the looser comparison below, which would take a copy's first event for one that only grew.
        elif length := _missing(fewer, more, at, there):
            found.append(_run(more[0], length, there, found[-1].end if found else 0))
            there += length
        elif at < len(fewer[1]) and fewer[1][at] == more[1][there]:  # one event whose bytes depend on the layers
            at, there = at + 1, there + 1
        else:
            raise NoPatternError
    if at != len(fewer[0]):
        raise NoPatternError
    return list(_with_singles(found, len(long)))


def _named(
    events: Sequence[Event], general: Callable[[str], str], names: dict[Any, int]
) -> tuple[list[int], list[int]]:
    """A number for each event, the same for the same thing in another layer: with its bytes, and without."""
    exact: list[int] = []
    loose: list[int] = []
    of_block: dict[int, tuple[Any, Any]] = {}
    modules: dict[str, str] = {}
    pair: tuple[Any, Any]
    for event in events:
        if isinstance(event, Alloc):
            if event.module not in modules:
                modules[event.module] = general(event.module)
            what = (str(event.kind), modules[event.module], event.source)
            of_block[event.block] = pair = ((*what, event.nbytes), what)
        elif isinstance(event, Free):
            known = of_block[event.block]
            pair = (("free", known[0]), ("free", known[1]))
        else:
            pair = (event, event)
        exact.append(names.setdefault(pair[0], len(names)))
        loose.append(names.setdefault(pair[1], len(names)))
    return exact, loose


def _missing(fewer: tuple[list[int], list[int]], more: tuple[list[int], list[int]], at: int, there: int) -> int:
    """Length of the copy that ends before this event, comes again here, and is not in the shorter trace; 0 if none."""
    events, after = more[0], fewer[1][at : at + _LOOK_AHEAD]
    # From the shortest on: of a run of equal copies one copy is meant, and not two.
    for length in range(1, min(there, len(events) - there) + 1):
        # The two cheap comparisons first: most lengths fail them, and stretches are thousands of events long.
        if events[there - length] != events[there] or more[1][there + length : there + length + len(after)] != after:
            continue
        if events[there - length : there] == events[there : there + length]:
            return length
    return 0


def _run(events: list[int], length: int, there: int, least: int) -> Piece:
    """All the copies that come before this one. Raises NoPatternError when they are too few to learn from."""
    begin = there
    copy = events[there : there + length]
    # Not past the stretch before: its events are spoken for.
    while begin - length >= least and events[begin - length : begin] == copy:
        begin -= length
    copies = (there + length - begin) // length
    if copies < _COPIES:
        raise NoPatternError
    return Piece(begin, length, copies)


def _with_singles(found: list[Piece], end: int) -> Iterator[Piece]:
    """The repeated stretches, and between them what is not repeated."""
    begin = 0
    for piece in found:
        if piece.begin > begin:
            yield Piece(begin, piece.begin - begin, 1)
        yield piece
        begin = piece.end
    if end > begin:
        yield Piece(begin, end - begin, 1)
