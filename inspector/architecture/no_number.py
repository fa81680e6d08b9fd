"""A config whose class computes with what is no number: which field it is, where Python names only the types."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_TYPES: dict[str, type[Any]] = {"str": str, "list": list, "dict": dict, "NoneType": type(None)}
_COMPUTED = re.compile(
    r"unsupported operand type|not supported between instances|invalid literal for int|int\(\) argument must be|"
    r"could not convert string to float|must be real number|can't multiply sequence|cannot be interpreted as an integer"
)
"""What Python says where a number was wanted."""

# By their endings, as each class has its own fields; a few take a list or nothing as well, so what is named is said to
# be one of several where several could be meant.
_OF_NUMBERS = re.compile(
    r"(theta|factor|base|freq|beta_fast|beta_slow|mscale|mscale_all_dim|pct|_dim|_size|_rank|heads|layers|experts|groups|"
    r"eps|embeddings|replace|width|depth|channels|scale|scaling|window|^n_\w+|^num_\w+|^d_\w+)$"
)
_MOST = 3


def no_number(error: Exception, config: Mapping[str, Any]) -> str:
    """The fields that hold no number where one was computed with, in words; "" where none is to be told."""
    said = str(error)
    if not _COMPUTED.search(said):
        return ""
    kinds = tuple(kind for name, kind in _TYPES.items() if f"'{name}'" in said)
    if not kinds and ("literal" in said or "convert string" in said or "multiply sequence" in said):
        kinds = (str, list)
    found = [(path, value) for path, value in _leaves(config) if kinds and isinstance(value, kinds)]
    if not 0 < len(found) <= _MOST:
        return ""
    named = " or ".join(f"{path} is {'null' if value is None else repr(str(value)[:40])}" for path, value in found)
    return f"{named}, which is no number"


def _leaves(config: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, object]]:
    for name, value in config.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{above}{name}.")
        elif isinstance(name, str) and _OF_NUMBERS.search(name):
            yield f"{above}{name}", value
