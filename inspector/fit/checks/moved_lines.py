"""Lines of a script whose numbers moved because others came or went above them, told from lines that changed."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def paired(before: Mapping[str, int], after: Mapping[str, int]) -> list[tuple[str, str]]:
    """The lines of two runs as pairs; "" where a run has no such line.

    A place is ``train.py:12``, its value the bytes of that line. In each file, lines in their order with the same bytes
    are the same line; one between two of these is where it would have moved to with the one before it. What is no line
    (a library's own) is paired by its name.
    """
    pairs: list[tuple[str, str]] = []
    files = dict.fromkeys(_split(place)[0] for place in (*before, *after))
    for file in files:
        old, new = (sorted(number for name, number in map(_split, run) if name == file) for run in (before, after))
        found = _in_file([(number, before[_place(file, number)]) for number in old],
                         [(number, after[_place(file, number)]) for number in new])  # fmt: skip
        pairs += [(_place(file, one) if one is not None else "", _place(file, other) if other is not None else "")
                  for one, other in found]  # fmt: skip
    return pairs


def _in_file(old: list[tuple[int, int]], new: list[tuple[int, int]]) -> list[tuple[int | None, int | None]]:
    """Numbers of lines as pairs; both lists are numbers with their bytes, in order."""
    same = SequenceMatcher(None, [size for _, size in old], [size for _, size in new], autojunk=False)
    anchors = {
        old[block.a + at][0]: new[block.b + at][0] for block in same.get_matching_blocks() for at in range(block.size)
    }
    free = [number for number, _ in new if number not in set(anchors.values())]
    pairs: list[tuple[int | None, int | None]] = []
    moved_by = 0
    for number, _ in old:
        if number in anchors:
            moved_by = anchors[number] - number
            pairs.append((number, anchors[number]))
        elif (meant := number + moved_by) in free:
            free.remove(meant)
            pairs.append((number, meant))
        else:
            pairs.append((number, None))
    return [*pairs, *((None, number) for number in free)]


def _split(place: str) -> tuple[str, int]:
    file, _, number = place.rpartition(":")
    return (file, int(number)) if file and number.isdecimal() else (place, -1)


def _place(file: str, number: int) -> str:
    return file if number < 0 else f"{file}:{number}"
