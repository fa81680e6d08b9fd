"""What people type for LoRA on a command line, as the values a `LoraSpec` takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.lora.sets import TargetSet, named_set

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.skeleton import Skeleton

_MOST_NUMBERS = 1_000_000
"""Most that one range is long: more than any vocabulary's new tokens, few enough to keep."""


def words(text: str | None) -> tuple[str, ...]:
    """The names in ``q_proj,v_proj``; commas or spaces part them."""
    return tuple(part for part in re.split(r"[,\s]+", text or "") if part)


def chosen_sets(
    skeleton: Skeleton, targets: Sequence[str], parameters: Sequence[str] = ()
) -> tuple[TargetSet, ...] | None:
    """The target sets asked for, with ``parameters`` added to each; None when nothing was asked for."""
    if not targets and not parameters:
        return None
    if not targets:
        return (TargetSet("+".join(parameters), (), tuple(parameters)),)
    found = [named_set(skeleton, target) for target in targets]
    added = tuple(parameters)
    return tuple(TargetSet(each.name, each.target_modules, each.target_parameters + added) for each in found)


def whole_numbers(text: str | None, what: str) -> tuple[int, ...]:
    """The numbers in ``0,1,2`` or ``0-2``. Raises InspectorError for anything else."""
    found: list[int] = []
    for word in words(text):
        first, dash, last = word.partition("-")
        if not (first.isdecimal() and len(first) < 10 and (not dash or (last.isdecimal() and len(last) < 10))):
            raise InspectorError(f"{word!r} is no number for {what}", hint="write them as 0,1,2 or 0-2")
        if dash and not int(first) <= int(last) < int(first) + _MOST_NUMBERS:
            raise InspectorError(f"{word!r} is no range for {what}", hint="write them as 0,1,2 or 0-2")
        found += range(int(first), int(last if dash else first) + 1)
    return tuple(dict.fromkeys(found))


def excluded_modules(text: str | None) -> tuple[str, ...] | str:
    """Names joined by commas, or a regular expression, told apart as the targets are."""
    return words(text) if re.fullmatch(r"[\w.,\s-]*", text or "") else (text or "")


def token_indices(texts: Sequence[str]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Tokens whose rows train: ``0,1,2`` of the input embedding, or ``lm_head=0,1``. Raises InspectorError."""
    found = []
    for text in texts:
        name, _, numbers = text.rpartition("=")
        if not (indices := whole_numbers(numbers, "trainable_token_indices")):
            raise InspectorError(f"{text!r} names no token", hint="write 128256,128257 or lm_head=0,1")
        found.append((name.strip(), indices))
    return tuple(found)


def parsed_pattern(pairs: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Rank patterns from ``NAME=R`` each. Raises InspectorError for one that is not so written."""
    parsed = []
    for pair in pairs:
        name, _, rank = map(str.strip, pair.rpartition("="))  # the last =, as an expression may have one itself
        # Below ten digits: int() refuses thousands of them with an error of its own.
        if not name or not (rank.isdecimal() and len(rank) < 10):
            raise InspectorError(f"{pair!r} is no rank pattern", hint="write it as q_proj=16")
        parsed.append((name, int(rank)))
    return tuple(parsed)
