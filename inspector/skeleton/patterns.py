"""Regular expressions on modules' names, as strangers' configs have them: compiled once, and none that may not end."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from inspector.patched import without_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator

_ATOM = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\]", re.DOTALL)
_TIMES = re.compile(r"(?:(?P<open>[*+]|\{\d*,\d*\})|(?P<fixed>\{\d+\}))[?+]?|(?P<optional>\?)[?+]?")
_VARIES, _REPEATS = {"open", "optional"}, {"open", "fixed"}
_MOST_REPEATS = 6
"""Open repeats in one alternative: what is written by others has up to four."""
_MOST_OPTIONAL = 12
"""Atoms that may be left out, in one alternative: each doubles the ways to match."""


@functools.lru_cache(maxsize=1024)
def compiled(pattern: str) -> re.Pattern[str] | None:
    """A pattern, compiled; None where it is no regular expression.

    What a later Python may read otherwise (``[[`` in a class) is the writer's business, and no warning of ours.
    """
    with without_warnings():
        try:
            return re.compile(pattern)
        except (re.error, OverflowError, RecursionError):
            return None


def endless(pattern: str) -> bool:
    """Whether matching may take time without end: a repeat of repeats, repeats side by side, or very many.

    >>> endless("(a+)+b"), endless(r".*[.](q|v)_proj")
    (True, False)
    """
    if len(pattern) > 20_000:
        return True
    if sum(map(pattern.count, "*+?{")) < 2:
        return False
    inside, open_repeats, optional, beside = [False], 0, 0, False
    for said, times in _atoms(pattern):
        if said == "(":
            inside.append(False)
        elif said == "|" and len(inside) == 1:
            # Alternatives inside a group count together: that is stricter, and nobody writes so many.
            open_repeats, optional = 0, 0
        of_repeats = said == ")" and len(inside) > 1 and inside.pop()
        inside[-1] |= of_repeats or times in _VARIES
        if (of_repeats and times in _REPEATS) or (beside and times == "open"):
            return True
        beside = times == "open"
        open_repeats, optional = open_repeats + beside, optional + (times == "optional")
        if open_repeats > _MOST_REPEATS or optional > _MOST_OPTIONAL:
            return True
    return False


def _atoms(pattern: str) -> Iterator[tuple[str, str]]:
    """Each atom, bracket or bar with how often it is taken: ``open``, ``fixed``, ``optional`` or "" for once."""
    position = 0
    while position < len(pattern):
        atom = _ATOM.match(pattern, position)
        said = atom[0] if atom else pattern[position]
        position = atom.end() if atom else position + 1
        if said == "(":  # the mark of ``(?:`` is none that lets the bracket be left out
            position += pattern[position : position + 1] == "?"
            yield said, ""
            continue
        times = _TIMES.match(pattern, position) if said != "|" else None
        position = times.end() if times else position
        yield said, times.lastgroup or "" if times else ""
