"""How many columns LLM.int8 keeps apart: data decide it, so a dry run takes a real model's share, and says the range.

Source of the shares: ``scripts/outliers.py`` on the weights of SmolLM2-135M, in `DATA` with date and versions. A column
is kept apart when one of its rows reaches the threshold of 6, so the share grows with the rows of a call.
"""

from __future__ import annotations

import contextlib
import json
import math
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Assumed = Literal["none", "usual", "most"]
"""No column at all, the share of all layers of the model measured, or that of its layer with most."""

DATA = Path(__file__).parents[2] / "data" / "int8_outliers.json"
# A trace's own: another thread's keeps to what is usual.
_ASSUMED: ContextVar[tuple[Assumed, int]] = ContextVar("assumed", default=("usual", 0))


@contextlib.contextmanager
def assuming(outliers: Assumed, rows: int = 0) -> Iterator[None]:
    """Traces inside take so many columns with outliers; with ``rows`` those of so many rows, whatever a call has."""
    before = _ASSUMED.set((outliers, rows))
    try:
        yield
    finally:
        _ASSUMED.reset(before)


def outlier_columns(rows: int, columns: int) -> int:
    """The columns of an activation with so many rows (tokens) that are kept apart; never more than there are."""
    assumed, typical = _ASSUMED.get()
    return 0 if assumed == "none" else min(columns, math.ceil(share(typical or rows, assumed) * columns))


def share(rows: int, assumed: Literal["usual", "most"]) -> float:
    """The share of columns kept apart among so many rows: as measured, between two of those by the rows' logarithm."""
    found = _measured()
    rows = min(max(rows, found[0][0]), found[-1][0])
    at = next(index for index, (most_rows, *_) in enumerate(found) if rows <= most_rows)
    which = 1 if assumed == "usual" else 2
    if found[at][0] == rows:
        return found[at][which]
    low, high = found[at - 1], found[at]
    along = math.log(rows / low[0]) / math.log(high[0] / low[0])
    return low[which] + along * (high[which] - low[which])


def assumed_in_words() -> str:
    """What a dry run with LLM.int8 takes for granted, in a line."""
    return (
        "LLM.int8 keeps columns with outliers apart; which have them is data: as many as SmolLM2-135M has are taken "
        f"({share(2048, 'usual'):.1%} among 2,048 tokens, {share(2048, 'most'):.0%} in its worst layer)"
    )


@cache
def _measured() -> tuple[tuple[int, float, float], ...]:
    said = json.loads(DATA.read_text(encoding="utf-8"))
    return tuple((each["rows"], each["usual"], each["most"]) for each in said["rows"])
