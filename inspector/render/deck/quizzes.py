"""Answers that come from slips: the right number among wrong ones that a rule makes, none of them twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST = 4


def distinct(
    right: tuple[float, str], wrong: Iterable[tuple[float, str]], write: Callable[[float], str]
) -> list[tuple[str, str, bool, str]] | None:
    """Options (text, number, right, slip) in the order of their numbers.

    ``wrong`` are numbers with the slip each comes from, the likeliest first. One that is written like another is left
    out; None where fewer than three are left, which would be no question.
    """
    found = {write(right[0]): (right[0], True, right[1])}
    for number, slip in wrong:
        if len(found) < MOST:
            found.setdefault(write(number), (number, False, slip))
    if len(found) < 3:
        return None
    ordered = sorted(found.items(), key=lambda item: item[1][0])
    return [(text, "", is_right, slip) for text, (_, is_right, slip) in ordered]
