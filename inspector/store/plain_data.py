"""Reports as plain data and back: frozen dataclasses by the names of their classes, without pickles.

A dataclass is ``{"gpus.Gpu": [its fields in order]}`` by its module below this package, a tuple a list,
and a dictionary, whose content must be plain already, ``{"": the dictionary}``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import DataclassInstance

    Keepable: TypeAlias = "DataclassInstance | Mapping[str, object] | Sequence[Keepable] | str | float | None"
    Plain: TypeAlias = "dict[str, Plain] | list[Plain] | str | float | None"

_PACKAGE = __name__.partition(".")[0]
# What is plain already, and by far the most of what there is: told by its type at the cost of a look into a set.
_LEAVES = frozenset({int, float, str, bool, type(None)})


def to_plain(value: Keepable) -> Plain:
    """Plain data for JSON. Raises KeyError for a dataclass that is not one of ours."""
    if is_dataclass(value) and not isinstance(value, type):
        name = f"{type(value).__module__}.{type(value).__name__}".removeprefix(f"{_PACKAGE}.")
        _class(name)
        # By position: the class is the one that wrote it, for its code names the entry.
        return {name: _all_plain(getattr(value, item) for item in _fields(type(value)))}
    if isinstance(value, (tuple, list)):
        return _all_plain(value)
    return {"": cast("Plain", dict(value))} if isinstance(value, Mapping) else cast("Plain", value)


def _all_plain(values: Iterable[Keepable]) -> list[Plain]:
    return [cast("Plain", each) if type(each) in _LEAVES else to_plain(each) for each in values]


def from_plain(data: Plain) -> Keepable:
    """The inverse of `to_plain`; lists become tuples. Raises KeyError, TypeError or ValueError for other data."""
    if isinstance(data, list):
        return tuple(from_plain(item) for item in data)
    if not isinstance(data, dict):
        return data
    ((name, content),) = data.items()
    if not name:
        return cast("dict[str, object]", content)
    return _class(name)(*(from_plain(item) for item in cast("list[Plain]", content)))


@cache
def _fields(cls: type[DataclassInstance]) -> tuple[str, ...]:
    return tuple(item.name for item in fields(cls))


@cache
def _class(name: str) -> type[DataclassInstance]:
    """The dataclass of that name, of one of our modules. Raises KeyError when there is none."""
    module, _, cls = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(f"{_PACKAGE}.{module}"), cls, None) if module else None
    except ImportError:
        found = None
    # A name that is only imported there is none of that module's: an entry cannot reach other classes through ours.
    if not (isinstance(found, type) and is_dataclass(found) and found.__module__ == f"{_PACKAGE}.{module}"):
        raise KeyError(name)
    return found
