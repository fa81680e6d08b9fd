"""What people type for LoRA on a command line, as the values a `LoraSpec` takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.lora.sets import TargetSet, named_set

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.skeleton import Skeleton


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
