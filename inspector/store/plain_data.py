"""Reports as plain data and back: frozen dataclasses by the names of their classes, without pickles.

A dataclass is ``{"Name": [its fields in order]}``, a tuple a list, and a dictionary, whose content must be plain
already, ``{"": the dictionary}``.
"""

from __future__ import annotations

import importlib
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

_HOMES = (
    "inspector.fit.simulator",
    "inspector.gpus",
    "inspector.simulate.setup.finetuning",
    "inspector.simulate.reports.step",
    "inspector.simulate.allocator.timeline",
    "inspector.simulate.setup.generation",
    "inspector.simulate.generation",
    "inspector.simulate.finetuning",
    "inspector.simulate.on_card",
    "inspector.lenses.kv_cache",
)
"""The modules whose dataclasses can be kept. None of them imports torch."""


def to_plain(value: Any) -> Any:
    """Plain data for JSON. Raises KeyError for a dataclass that is not one of ours."""
    if is_dataclass(value) and not isinstance(value, type):
        name = type(value).__name__
        if _class(name) is not type(value):
            raise TypeError(name)
        return {name: [to_plain(getattr(value, item.name)) for item in fields(value)]}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    return {"": dict(value)} if hasattr(value, "keys") else value


def from_plain(data: Any) -> Any:
    """The inverse of `to_plain`; lists become tuples. Raises KeyError, TypeError or ValueError for other data."""
    if isinstance(data, list):
        return tuple(from_plain(item) for item in data)
    if not isinstance(data, dict):
        return data
    ((name, content),) = data.items()
    return content if not name else _class(name)(*(from_plain(item) for item in content))


@cache
def _class(name: str) -> type:
    """The dataclass of that name, of one of our modules. Raises KeyError when there is none."""
    for home in _HOMES:
        found = getattr(importlib.import_module(home), name, None)
        if isinstance(found, type) and is_dataclass(found) and found.__module__ == home:
            return found
    raise KeyError(name)
