"""How the bytes of a block grow with the tokens of a batch, from a few lengths that were traced, all of them exactly.

What a kernel allocates is a polynomial of the tokens of degree two at most, in the tokens themselves or rounded up to
its tile (`inspector.simulate.device.attention_kernels` has the tiles), or has a part for every ten ids of a batch.
"""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TILES = (1, 8, 16, 32, 64, 128)
"""Tokens that kernels round up to, in their scratch memory and in aligned masks."""

FEWEST = 5
"""Lengths that say how something grows: three for a parabola, and two that it has to meet."""


class Growth(NamedTuple):
    """``constant + first * x + second * y`` of two terms of the tokens, rounded up to ``tile``."""

    tile: int
    terms: int
    constant: Fraction
    first: Fraction
    second: Fraction

    def at(self, tokens: int) -> int:
        """Bytes at a length."""
        one, two = TERMS[self.terms](tokens, -(-tokens // self.tile) * self.tile)
        return int(self.constant + self.first * one + self.second * two)


TERMS: tuple[Callable[[int, int], tuple[int, int]], ...] = (
    lambda _tokens, up: (up, 0),
    lambda _tokens, up: (up, up * up),
    lambda tokens, up: (tokens * up, tokens),
    lambda tokens, up: (tokens * up, up),
    lambda tokens, up: (up, tokens),
    *(functools.partial(lambda ones, tokens, _up: (tokens, ones * tokens // TENTHS), ones) for ones in range(1, 10)),
)
"""A straight line, a parabola, a row of each token that is aligned, and whole tenths of a batch's ids.

Of a batch of 14 sequences a tenth of the ids is the tokens and four tenths of them: its last digit is all that counts.
"""
TENTHS = 10
"""Rows that a thread of ``embedding_dense_backward`` sums (``NROWS_PER_THREAD``, cuda/EmbeddingBackwardKernel.cu)."""
TILED = 5
"""Terms before this one have tiles."""


def growth(lengths: Sequence[int], sizes: Sequence[int]) -> Growth | None:
    """What gives exactly these bytes at these lengths; None where nothing simple does, or too few say it."""
    if len(set(sizes)) == 1:
        return Growth(1, 0, Fraction(sizes[0]), Fraction(0), Fraction(0))
    if len(lengths) < FEWEST:
        return None
    return next((found for found in _tried(lengths, sizes) if _holds(found, lengths, sizes)), None)


def _holds(found: Growth, lengths: Sequence[int], sizes: Sequence[int]) -> bool:
    return all(found.at(tokens) == size for tokens, size in zip(lengths, sizes, strict=True))


def _tried(lengths: Sequence[int], sizes: Sequence[int]) -> Iterator[Growth]:
    # The simplest first: a line in the tokens, then in tiles, then what has three numbers.
    for terms in range(len(TERMS)):
        for tile in TILES if terms < TILED else TILES[:1]:
            found = _through(lengths, sizes, tile, terms)
            if found is not None:
                yield found


def _through(lengths: Sequence[int], sizes: Sequence[int], tile: int, terms: int) -> Growth | None:
    """The one through three of the points, or through two where the second term is nothing."""
    rows: list[tuple[int, int, int]] = []
    for tokens, size in zip(lengths, sizes, strict=True):
        one, two = TERMS[terms](tokens, -(-tokens // tile) * tile)
        if (one, two) not in {(row[0], row[1]) for row in rows}:
            rows.append((one, two, size))
    if len(rows) < 2:
        return None
    first, last = rows[0], rows[-1]
    zero = Fraction(0)
    if terms == 0:
        slope = Fraction(last[2] - first[2], last[0] - first[0])
        return Growth(tile, terms, zero + first[2] - slope * first[0], slope, zero)
    for middle in rows[1:-1]:
        a, b, c = middle[0] - first[0], middle[1] - first[1], middle[2] - first[2]
        d, e, f = last[0] - first[0], last[1] - first[1], last[2] - first[2]
        if determinant := a * e - b * d:
            by_one, by_two = Fraction(c * e - b * f, determinant), Fraction(a * f - c * d, determinant)
            return Growth(tile, terms, zero + first[2] - by_one * first[0] - by_two * first[1], by_one, by_two)
    return None
