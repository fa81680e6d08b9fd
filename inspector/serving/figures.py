"""A figure with what is known of it: exact, from an engine's rule, or a range that logs have shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Basis = Literal["exact", "rule", "range"]


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes, tokens or requests between two bounds; all three are equal where nothing is left to chance."""

    low: int
    value: int
    high: int

    @classmethod
    def exactly(cls, value: int) -> Span:
        """A figure without doubt."""
        return cls(value, value, value)

    @property
    def is_exact(self) -> bool:
        """Whether there is one figure alone."""
        return self.low == self.high

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.value + other.value, self.high + other.high)

    def taken_from(self, whole: int) -> Span:
        """What is left of a whole: the most where this is least."""
        return Span(whole - self.high, whole - self.value, whole - self.low)


@dataclass(frozen=True, slots=True)
class Term:
    """One step from the card's bytes to the cache: what takes how much, how that is known and by which source.

    ``logs`` is how many logs a range was measured on, 0 for what follows from shapes.
    """

    name: str
    span: Span
    basis: Basis
    source: str
    logs: int = 0

    @property
    def said(self) -> str:
        """How the figure is known, in the words of the page."""
        if self.basis == "range":
            return f"range, measured on {self.logs} logs"
        return "exact" if self.basis == "exact" else "from the engine's rule"
