"""Fields of a config that are at odds with each other, where a library names only the shapes that come of it."""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inspector.architecture.error_origin import OF_THE_MODEL, package_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")
_CHOSEN = ("num_experts_per_tok", "num_experts_per_token", "moe_top_k", "top_k", "moe_k")
_PROBLEMS = ("regression", "single_label_classification", "multi_label_classification")
_KINDS = {"list": list, "str": str, "int": int, "float": float, "bool": bool, "dict": dict, "NoneType": type(None)}


def at_odds(error: BaseException, config: Mapping[str, Any] | object) -> str:
    """Which fields an error comes of, in words; "" where none of the known rules is broken.

    Each rule is asked only where the library's words are those that breaking it leads to.
    """
    said = str(error)
    content: Any = config if isinstance(config, Mapping) else config.to_dict() if hasattr(config, "to_dict") else {}
    inner = [part for name in ("text_config", "decoder") if isinstance(part := content.get(name), Mapping)]
    for part in (content, *inner):
        for words, broken in _RULES:
            if re.search(words, said, re.IGNORECASE) and (found := broken(part)):
                return found
    return _of_another_kind(error, content)


def _heads(config: Mapping[str, Any]) -> str:
    heads, shared = config.get("num_attention_heads"), config.get("num_key_value_heads")
    if not isinstance(heads, int) or not isinstance(shared, int) or shared < 1 or heads % shared == 0:
        return ""
    return f"num_attention_heads is {heads:,}, no multiple of num_key_value_heads, which is {shared:,}"


def _experts(config: Mapping[str, Any]) -> str:
    there = next((name for name in _EXPERTS if isinstance(config.get(name), int)), "")
    chosen = next((name for name in _CHOSEN if isinstance(config.get(name), int)), "")
    if not there or not chosen or config[chosen] <= config[there]:
        return ""
    return f"{chosen} is {config[chosen]:,}, more than {there}, which is {config[there]:,}"


def _padding(config: Mapping[str, Any]) -> str:
    token, rows = config.get("pad_token_id"), config.get("vocab_size")
    if not isinstance(token, int) or not isinstance(rows, int) or token < rows:
        return ""
    return f"pad_token_id is {token:,}, beyond vocab_size, which is {rows:,}"


def _problem(config: Mapping[str, Any]) -> str:
    said = config.get("problem_type")
    return f"problem_type is {said!r}; known: {', '.join(_PROBLEMS)}" if said and said not in _PROBLEMS else ""


_RULES = (
    (r"size of tensor|shape|reduction dim|broadcast|divi", _heads),
    (r"not in range|out of range|topk", _experts),
    (r"padding_idx", _padding),
    (r"problem.?type", _problem),
)
"""What a library says, and the rule that is broken where it does."""


def _of_another_kind(error: BaseException, config: Mapping[str, Any]) -> str:
    """A field that the failing line names and that holds what Python says has no such attribute or items."""
    found = re.search(r"'(\w+)' object (?:has no attribute|is not (?:subscriptable|iterable|callable))", str(error))
    kind = _KINDS.get(found[1]) if found else None
    if kind is None:
        return ""
    for line in _lines(error):
        for name, value in config.items():
            if type(value) is kind and isinstance(name, str) and re.search(rf"\b{re.escape(name)}\b", line):
                shown = "null" if value is None else repr(value)[:60]
                return f"{name} is {shown}, which its class does not take"
    return ""


def _lines(error: BaseException) -> Iterator[str]:
    """The lines of the model's code that an error came through, the last first."""
    for frame, number in reversed(list(traceback.walk_tb(error.__traceback__))):
        if package_of(frame) in OF_THE_MODEL:
            yield linecache.getline(frame.f_code.co_filename, number)
