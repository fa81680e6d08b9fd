"""A small picture as a sum of columns times rows, the most telling first: what a rank is, for the eye."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

PICTURE = Path(__file__).parent.parent / "data" / "rank_picture.json"


@dataclass(frozen=True, slots=True)
class RankPicture:
    """Square, of zeros and ones. ``pieces`` are columns with their rows, by the singular value decomposition."""

    pixels: tuple[tuple[int, ...], ...]
    pieces: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]

    @property
    def side(self) -> int:
        """Pixels of a side."""
        return len(self.pixels)

    @property
    def rank(self) -> int:
        """How many pieces the picture is made of; the rest is zero but for rounding."""
        return sum(max(map(abs, column)) * max(map(abs, row)) > 1e-4 for column, row in self.pieces)

    def rebuilt(self, r: int) -> tuple[tuple[float, ...], ...]:
        """The sum of the first ``r`` pieces."""
        side = range(self.side)
        return tuple(tuple(sum(column[y] * row[x] for column, row in self.pieces[:r]) for x in side) for y in side)


@lru_cache(maxsize=1)
def picture() -> RankPicture:
    """The picture that ships."""
    data = json.loads(PICTURE.read_text(encoding="utf-8"))
    pieces = tuple((tuple(piece["column"]), tuple(piece["row"])) for piece in data["pieces"])
    return RankPicture(tuple(map(tuple, data["pixels"])), pieces)
