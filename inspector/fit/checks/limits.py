"""A limit in a line, such as ``peak <= 15 GiB`` or ``trainable <= 1 %``: what it is of, and whether it holds."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from inspector.errors import InspectorError, closest
from inspector.units import count, gibibytes, mebibytes, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Unit = Literal["bytes", "count", "share"]
"""A share is of all parameters, as ``print_trainable_parameters()`` prints it."""

FIGURES: Mapping[str, str] = {
    "peak": "the whole process at its peak: what the card must hold",
    "allocated": "tensors at the peak (max_memory_allocated)",
    "reserved": "the allocator's segments at the peak (max_memory_reserved)",
    "steady": "what is still allocated after the last step",
    "margin": "what the card has left at the peak",
    "weights": "the weights as loaded, of a generation",
    "cache": "the KV cache at the last token, of a generation",
    "trainable": "parameters that train, or their share of all",
}
"""What a limit can be of. All are bytes but the last."""

_OPERATORS: Mapping[str, Callable[[Fraction, Fraction], bool]] = {
    "<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "==": operator.eq,
}  # fmt: skip
_LINE = re.compile(r"\s*([A-Za-z_-]+)\s*(<=|>=|==|<|>|≤|≥|=)\s*(.*?)\s*", re.DOTALL)
_NUMBER = re.compile(r"(\d[\d_,]{0,30}(?:\.\d{1,12})?)\s*([KMB%]?)", re.IGNORECASE)
_TIMES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9}
_USUAL = {"≤": "<=", "≥": ">=", "=": "=="}


@dataclass(frozen=True, slots=True)
class Limit:
    """``figure`` is a key of `FIGURES`, ``bound`` is in ``unit``: bytes, a count, or percent for a share."""

    text: str
    figure: str
    sign: str
    bound: Fraction
    unit: Unit

    def holds(self, value: int, whole: int = 0) -> bool:
        """Whether a figure keeps to it; ``whole`` are all parameters, for a share."""
        return _OPERATORS[self.sign](self.measured(value, whole), self.bound)

    def measured(self, value: int, whole: int = 0) -> Fraction:
        """A figure in the limit's unit. Exact: a border is decided by no rounding."""
        if self.unit == "share":
            return Fraction(100 * value, whole) if whole else Fraction(0)
        return Fraction(value)

    def over(self, value: int, whole: int = 0) -> Fraction:
        """By how much a figure is on the wrong side, in the limit's unit; 0 where it holds."""
        return Fraction(0) if self.holds(value, whole) else abs(self.measured(value, whole) - self.bound)


def parse_limit(text: str) -> Limit:
    """A limit as it is written. Raises InspectorError for another figure, sign or unit."""
    found = _LINE.fullmatch(text)
    if found is None:
        raise InspectorError(f"{text!r} is no limit", hint="write it as peak <= 15 GiB or trainable <= 1 %")
    name, sign, said = found[1].lower().replace("-", "_"), _USUAL.get(found[2], found[2]), found[3]
    if name not in FIGURES:
        close = closest(name, FIGURES)
        hint = f"did you mean {close[0]}?" if close else f"figures: {', '.join(FIGURES)}"
        raise InspectorError(f"{text!r}: no figure is named {found[1]!r}", hint=hint)
    if name == "trainable":
        number = _NUMBER.fullmatch(said)
        if number is None:
            raise InspectorError(f"{text!r}: {said!r} is no number of parameters", hint="such as 1 %, 20M or 3,407,872")
        bound, letter = Fraction(number[1].replace(",", "").replace("_", "")), number[2].upper()
        return Limit(text, name, sign, bound * _TIMES.get(letter, 1), "share" if letter == "%" else "count")
    try:
        size = parse_size(said.replace(",", "").replace("_", ""))
    except InspectorError as error:
        # Nothing left over is a limit as well, and no size.
        if name != "margin" or not re.fullmatch(r"0\s*([KMGT]i?)?B?", said, re.IGNORECASE):
            raise InspectorError(f"{text!r}: {error.message}", hint=error.hint) from None
        size = 0
    return Limit(text, name, sign, Fraction(size), "bytes")


def shown(unit: Unit, amount: Fraction | int) -> str:
    """An amount in a unit, for people: MiB to the tenth below 1 GiB, else GiB to the hundredth."""
    if unit == "bytes":
        size = int(amount)
        return mebibytes(size) if abs(size) < 2**30 else gibibytes(size)
    return f"{float(amount):.4g} %" if unit == "share" else count(int(amount))
