"""What no shape tells, as engines' own logs have printed it: ranges with how many logs they are of.

``data/serving/ranges.json`` is made of the logs in ``data/truth/serving_*.json`` by ``make serving-ranges``; a test
makes it again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Range:
    """Three figures and where they are from. The unit is the name's: ``_bytes``, or bytes an element."""

    low: float
    median: float
    high: float
    logs: int
    source: str


@cache
def measured(name: str) -> Range:
    """A range by its name. Raises KeyError for one that was never measured."""
    text = (files("inspector") / "data" / "serving" / "ranges.json").read_text(encoding="utf-8")
    row = json.loads(text)["ranges"][name]
    return Range(row["low"], row["median"], row["high"], row["logs"], row["source"])
