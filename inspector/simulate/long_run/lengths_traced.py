"""Chunks of every length that a run sees, from the lengths that are traced: all where they are few, else learned.

Which operators run goes by how often two divides the tokens (kernels ask for 8, 16, 64 or 128) and by thresholds; how
many bytes they take, by `inspector.simulate.long_run.growing`. A length for which that does not say is traced itself.
"""

from __future__ import annotations

from bisect import bisect
from math import gcd
from typing import TYPE_CHECKING

from inspector.errors import CannotSimulateError
from inspector.simulate.long_run.chunks import Chunk, cut, places
from inspector.simulate.long_run.growing import growth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from inspector.simulate.events import Event
    from inspector.simulate.long_run.chunks import Place, Shape, Traced
    from inspector.simulate.long_run.growing import Growth

    Trace = Callable[[tuple[int, ...]], Sequence[Event]]
    """The events of a run whose micro-batches have these tokens, one after another."""

ALIGNED = 128
"""What no kernel asks more of."""
OF_A_CLASS = 6
"""Lengths that are traced of those that two divides as often: `growing.FEWEST`, and one more."""
ALL = 24
"""Up to so many different lengths are all traced."""
MOST = 96
"""More than these are not traced beside those: what is not known after that is an error of its own."""


class TracedLengths:
    """The chunks of a run's micro-batches.

    Args:
        trace: traces a run.
        first: the tokens of the first step's micro-batches, which no other is like.
        wanted: every length of the run.
        accumulated: micro-batches of a traced step, no more than `len(PLACES)`.
    """

    def __init__(self, trace: Trace, first: Sequence[int], wanted: Iterable[int], accumulated: int) -> None:
        self._trace = trace
        self._accumulated = accumulated
        self._first = tuple(first)
        self._known: dict[tuple[Place, int], Chunk] = {}
        self._grown: dict[tuple[Place, Shape], tuple[list[Growth | None], list[int]]] = {}
        self._made: dict[tuple[Place, int], Chunk] = {}
        ordered = sorted(set(wanted))
        traced = self._add(ordered if len(ordered) <= ALL else _spread(ordered))
        self.before, self.slots, self.first = traced.before, traced.slots, traced.steps[0]
        missing = self._missing(ordered)
        traced_beside = 0
        # Between two lengths that run unlike operators lies a threshold: halving finds it in a few lengths.
        while missing and traced_beside <= MOST:
            chosen = missing if len(missing) <= ALL else self._middles(missing)
            self._add(chosen)
            traced_beside += len(chosen)
            missing = self._missing(missing)
        if missing:
            raise CannotSimulateError(
                f"{len(missing):,} lengths would have to be traced one by one: their sizes follow no simple rule",
                hint="--pad-batches-to 64, or fewer steps",
            )
        self.traced = {tokens for _, tokens in self._known}

    def _missing(self, lengths: Sequence[int]) -> list[int]:
        return [tokens for tokens in lengths if any(self._learned(place, tokens) is None for place in self._places)]

    def _middles(self, missing: Sequence[int]) -> list[int]:
        """Of what lies between two traced lengths of a class, the one in the middle."""
        known = sorted({tokens for _, tokens in self._known})
        between: dict[tuple[int, int], list[int]] = {}
        for tokens in missing:
            below = bisect([at for at in known if _class(at) == _class(tokens)], tokens)
            between.setdefault((_class(tokens), below), []).append(tokens)
        return sorted(alike[len(alike) // 2] for alike in between.values())

    @property
    def _places(self) -> tuple[Place, ...]:
        return places(self._accumulated)

    def chunk(self, place: Place, tokens: int) -> Chunk:
        """A micro-batch at a place of a step, padded to so many tokens."""
        found = self._learned(place, tokens)
        assert found is not None, (place, tokens)
        return found

    def _add(self, lengths: Sequence[int]) -> Traced:
        """Trace these, each after one that is as often divided by two: what one frees of another is then the same."""
        steps: list[int] = []
        for before, tokens in zip([0, *lengths], lengths, strict=False):
            steps += [tokens] * (1 if before and _class(before) == _class(tokens) else 2)
        steps.append(lengths[-1])  # the last one's frees are not known
        run = (*self._first, *(tokens for tokens in steps for _ in range(self._accumulated)))
        traced = cut(self._trace(run), self._accumulated)
        for tokens, chunks in zip(steps, traced.steps[1:], strict=False):
            # Of two alike the second stays.
            for chunk in chunks:
                self._known[chunk.shape.place, tokens] = chunk
        self._grown.clear()  # more lengths say more
        return traced

    def _learned(self, place: Place, tokens: int) -> Chunk | None:
        """What is known of a length, or follows from what is; kept."""
        known = self._known.get((place, tokens)) or self._made.get((place, tokens))
        if known is not None:
            return known
        shape = self._shape(place, tokens)
        if shape is None:
            return None
        grown = self._grown.get((place, shape))
        if grown is None:
            grown = self._grown[place, shape] = self._growth(place, shape)
        rules, which = grown
        values = [0 if rule is None else rule.at(tokens) for rule in rules]
        # A rule that is none, or gives less than a byte, was learned elsewhere than it holds.
        if any(size <= 0 for size in values):
            return None
        made = self._made[place, tokens] = Chunk(shape, tuple(values[number] for number in which))
        return made

    def _shape(self, place: Place, tokens: int) -> Shape | None:
        """What the traced lengths below and above of its class have both."""
        alike = sorted(at for where, at in self._known if where == place and _class(at) == _class(tokens))
        above = bisect(alike, tokens)
        if not 0 < above < len(alike):
            return None
        below, over = (self._known[place, alike[at]].shape for at in (above - 1, above))
        return below if below == over else None

    def _growth(self, place: Place, shape: Shape) -> tuple[list[Growth | None], list[int]]:
        """By which rules blocks of a shape grow, by all traced lengths that have it, and which one each has."""
        chunks = sorted((at, chunk.sizes) for (where, at), chunk in self._known.items() if where == place and
                        chunk.shape == shape)  # fmt: skip
        lengths = [at for at, _ in chunks]
        # Layers are alike: few columns differ.
        numbers: dict[tuple[int, ...], int] = {}
        which = [
            numbers.setdefault(column, len(numbers)) for column in zip(*(sizes for _, sizes in chunks), strict=True)
        ]
        return [growth(lengths, column) for column in numbers], which


def _class(tokens: int) -> int:
    return gcd(tokens, ALIGNED)


def _spread(ordered: Sequence[int]) -> list[int]:
    """Some of each class: its shortest and longest, and what lies evenly between."""
    chosen: list[int] = []
    for kind in sorted({_class(tokens) for tokens in ordered}):
        alike = [tokens for tokens in ordered if _class(tokens) == kind]
        last = len(alike) - 1
        chosen += sorted({alike[round(last * part / (OF_A_CLASS - 1))] for part in range(OF_A_CLASS)})
    return chosen
