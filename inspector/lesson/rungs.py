"""Quantization in the hand: the rungs that four bits choose from, one block of trained weights, errors by block size.

A weight is divided by the largest of its block and set to the nearest rung. The rungs are the tables of bitsandbytes
(``functional.get_4bit_type``) for nf4 and fp4, and of int4 the sixteen even steps that llama.cpp's Q4_0 has; tests hold
them equal to the libraries.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

RUNGS = Path(__file__).parent.parent / "data" / "rungs.json"
SCHEMES = ("nf4", "int4", "fp4")
SHOWN = 8
"""Weights of the block that are shown; its largest is one of them."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block of 64 weights of a trained model, with the scale that bitsandbytes keeps of it.

    ``scale`` is the largest magnitude; ``scale_twice`` what is read back of it with double quantization. ``weights``
    start at ``first`` of the tensor, and those shown at ``shown`` of the block.
    """

    model: str
    file: str
    source: str
    licence: str
    tensor: str
    first: int
    weights: tuple[float, ...]
    shown: int
    scale: float
    scale_twice: float

    @property
    def in_the_hand(self) -> tuple[float, ...]:
        """The eight that are shown."""
        return self.weights[self.shown : self.shown + SHOWN]


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors by block size: the length of what quantizing changed over the length of the weights, 0.1 is 10 %.

    Of so many ``weights`` drawn from the normal distribution with a ``seed``; ``schemes`` has a line for each scheme.
    """

    sizes: tuple[int, ...]
    schemes: tuple[tuple[str, tuple[float, ...]], ...]
    weights: int
    seed: int
    versions: tuple[tuple[str, str], ...]

    def of(self, scheme: str, size: int) -> float:
        """The error of a scheme with blocks of a size."""
        return dict(self.schemes)[scheme][self.sizes.index(size)]


@dataclass(frozen=True, slots=True)
class Rungs:
    """``levels`` are the sixteen values of each scheme in the order of their bits, 0000 first. fp4 has zero twice."""

    levels: tuple[tuple[str, tuple[float, ...]], ...]
    block: Block
    errors: Errors

    def of(self, scheme: str) -> tuple[float, ...]:
        """The sixteen values of a scheme."""
        return dict(self.levels)[scheme]


@dataclass(frozen=True, slots=True)
class Kept:
    """What becomes of one weight: divided by the scale, its rung, that rung's number, read back, and the error."""

    weight: float
    divided: float
    rung: float
    code: int
    back: float

    @property
    def error(self) -> float:
        """What reading back is off by."""
        return self.back - self.weight

    @property
    def bits(self) -> str:
        """The four bits that are stored."""
        return f"{self.code:04b}"


def kept(weight: float, scale: float, levels: tuple[float, ...]) -> Kept:
    """One weight to its nearest rung and back; of two rungs as near, the first in the order of the bits."""
    divided = weight / scale if scale else 0.0
    code = min(range(len(levels)), key=lambda number: abs(levels[number] - divided))
    return Kept(weight, divided, levels[code], code, levels[code] * scale)


@lru_cache(maxsize=1)
def rungs() -> Rungs:
    """All that ships of it."""
    data = json.loads(RUNGS.read_text(encoding="utf-8"))
    block, errors = data["block"], data["errors"]
    return Rungs(
        levels=tuple((name, tuple(data["levels"][name])) for name in SCHEMES),
        block=Block(**{**block, "weights": tuple(block["weights"])}),
        errors=Errors(
            sizes=tuple(errors["sizes"]),
            schemes=tuple((name, tuple(errors["schemes"][name])) for name in SCHEMES),
            weights=errors["weights"],
            seed=errors["seed"],
            versions=tuple((name, version) for name, version in errors["versions"].items()),
        ),
    )
