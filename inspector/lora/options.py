"""What people type for LoRA on a command line or give as PEFT takes it, as the values a `LoraSpec` has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from inspector.errors import InspectorError
from inspector.lora.sets import TargetSet, named_set

if TYPE_CHECKING:
    from inspector.skeleton import Skeleton

Pattern: TypeAlias = Mapping[str, int] | Sequence[tuple[str, int]] | Sequence[str] | str
"""Ranks or alphas by the name of what they are for: PEFT's mapping, pairs, or ``NAME=R`` as typed."""
Tokens: TypeAlias = Sequence[int] | str
TokenIndices: TypeAlias = (
    Sequence[int] | Mapping[str, Tokens] | Sequence[str] | Sequence[tuple[str, Sequence[int]]] | str
)
"""Tokens by the layer whose rows train, or those of the input embedding."""

_TOKENS = "trainable_token_indices"
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


def whole_numbers(said: str | int | Sequence[int], what: str) -> tuple[int, ...]:
    """The numbers in ``0,1,2`` or ``0-2``, or those given. Raises InspectorError for anything else."""
    if not isinstance(said, str):
        given = (said,) if isinstance(said, int) else tuple(said)
        if wrong := [each for each in given if isinstance(each, bool) or not isinstance(each, int) or each < 0]:
            raise InspectorError(f"{wrong[0]!r} is no number for {what}", hint="give whole numbers, from 0")
        return tuple(dict.fromkeys(given))
    found: list[int] = []
    for word in words(said):
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


def token_indices(said: TokenIndices) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Tokens whose rows train: ``0,1,2`` of the input embedding, ``lm_head=0,1``, or as PEFT takes them.

    Raises InspectorError for what is neither.
    """
    given = said.items() if isinstance(said, Mapping) else (said,) if isinstance(said, str) else said
    found: list[tuple[str, tuple[int, ...]]] = []
    alone: list[int] = []  # numbers without a name, which PEFT takes for the input embedding's
    for each in given:
        if isinstance(each, int):
            alone.append(each)
        else:
            found.append(_tokens(each) if isinstance(each, str) else (each[0], whole_numbers(each[1], _TOKENS)))
    if alone:
        found.append(("", whole_numbers(alone, _TOKENS)))
    if empty := [name for name, numbers in found if not numbers]:
        raise InspectorError(f"{_TOKENS} of {empty[0] or 'the input embedding'} names no token")
    return tuple(found)


def _tokens(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, numbers = text.rpartition("=")
    if not (indices := whole_numbers(numbers, _TOKENS)):
        raise InspectorError(f"{text!r} names no token", hint="write 128256,128257 or lm_head=0,1")
    return name.strip(), indices


def pattern(said: Pattern, what: str = "rank_pattern") -> tuple[tuple[str, int], ...]:
    """Ranks or alphas by name: ``NAME=R`` each, pairs, or PEFT's own mapping. Raises InspectorError for others."""
    given = said.items() if isinstance(said, Mapping) else (said,) if isinstance(said, str) else said
    found: list[tuple[str, int]] = []
    for each in given:
        if isinstance(each, str):
            found += parsed_pattern([each])
            continue
        name, number = each
        if isinstance(number, bool) or not isinstance(number, int):
            raise InspectorError(f"{what} of {name!r} is no whole number: {number!r}", hint="write it as q_proj=16")
        found.append((str(name), number))
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
