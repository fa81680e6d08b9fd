"""Reports as plain data and back: frozen dataclasses by the names of their classes, without pickles.

A dataclass is ``{"Name": [its fields in order]}``, a tuple a list, and a dictionary, whose content must be plain
already, ``{"": the dictionary}``.
"""

from __future__ import annotations

import importlib
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

_HOMES = {
    "inspector.cache": ("CacheReport", "LayerCache"),
    "inspector.outcome": ("Outcome", "Refused"),
    "inspector.gpus": ("Gpu",),
    "inspector.simulate.generate_report": ("GenerateReport", "PhasePeak"),
    "inspector.simulate.generate_setup": ("GenerateSetup",),
    "inspector.simulate.report": ("LiveTensor", "Point", "Share", "StepReport"),
    "inspector.simulate.setup": ("TrainSetup",),
    "inspector.simulate.timeline": ("StagePeak",),
}
"""The classes that can be kept, by module. None of these modules imports torch."""


def to_plain(value: Any) -> Any:
    """Plain data for JSON. Raises TypeError for a dataclass that is not one of ours."""
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
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise KeyError(name)
    found: type = getattr(importlib.import_module(home), name)
    return found
