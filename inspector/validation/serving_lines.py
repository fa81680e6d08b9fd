"""One printed figure beside the predicted one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["exact", "in range", "outside"]


@dataclass(frozen=True, slots=True)
class LogLine:
    """``predicted`` with its bounds beside ``printed`` in ``unit``; ``doubt`` is half of the print's last digit.

    ``of_card`` are the card's bytes where the width of the bounds is judged by them, 0 elsewhere.
    """

    log: str
    figure: str
    predicted: int
    low: int
    high: int
    printed: int
    doubt: int = 0
    unit: str = "bytes"
    of_card: int = 0

    @property
    def error(self) -> float:
        """Predicted over printed, less one; 0 where both are nothing."""
        return self.predicted / self.printed - 1 if self.printed else float(self.predicted != 0)

    @property
    def width(self) -> float:
        """How wide the stated range is, as a share of the card."""
        return (self.high - self.low) / self.of_card if self.of_card else 0.0

    @property
    def verdict(self) -> Verdict:
        """Exact to the print, within the stated range, or neither."""
        if abs(self.predicted - self.printed) <= self.doubt:
            return "exact"
        return "in range" if self.low - self.doubt <= self.printed <= self.high + self.doubt else "outside"


def of_print(log: str, figure: str, bounds: tuple[int, int, int], printed: int, unit: str) -> LogLine:
    """A figure that was computed of another printed one: exact where it lies between what the print's ends give."""
    low, value, high = sorted(bounds)
    doubt = max(abs(value - low), abs(high - value))
    return LogLine(log, figure, value, low, high, printed, doubt, unit)
