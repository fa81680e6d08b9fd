"""One tensor that may have been asked for: what it is, the formula with its numbers, and what that assumes."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Literal

from inspector.explain.sizes import as_printed, asked

if TYPE_CHECKING:
    from inspector.explain.operators import Family

Basis = Literal["the model's shapes", "the model's shapes and the settings", "solved from the size"]
"""What a candidate rests on. What was solved from the size proves nothing by matching it."""

WIDTHS: dict[float, str] = {2: "in 16 bit", 4: "in float32", 1: "in 8 bit", 0.5: "packed in 4 bits"}
"""Bytes of a number, the likeliest first: most of what lies on a card is in 16 bits."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A tensor that prints what was printed. ``where`` names it in the model, ``count`` how many there are alike.

    ``oddness`` is the odd part of a length that was solved, 1 for the roundest; ``beyond`` says that the model takes no
    such length, ``fused`` that the model itself keeps the parts of it in tensors of their own.
    """

    family: Family
    what: str
    formula: str
    tensor_bytes: int
    basis: Basis
    width: float = 2
    where: str = ""
    count: int = 1
    assumes: tuple[str, ...] = ()
    oddness: int = 0
    beyond: bool = False
    fused: bool = False

    @property
    def rounded_bytes(self) -> int:
        """What the allocator asks for it."""
        return asked(self.tensor_bytes)

    @property
    def prints(self) -> str:
        """What the message says of it."""
        return as_printed(self.rounded_bytes)

    @property
    def solved(self) -> bool:
        """Whether a length or a number of ranks was chosen so that it matches."""
        return self.basis == "solved from the size"


def formula(*factors: int, width: float, added: str = "") -> str:
    """``18944 x 3584 x 2``; ``added`` stands for the product of the shape where it is a sum."""
    shape = added or " x ".join(map(str, factors))
    return f"{shape} / 2" if width == 0.5 else shape if width == 1 else f"{shape} x {width:g}"


def in_bytes(elements: int, width: float) -> int:
    """Bytes of so many numbers."""
    return ceil(elements * width)
