"""A pasted log made plain: no colours, no progress bars over each other, each rank's lines by themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass

from inspector.explain.kinds import ANCHORS, ANY, BY_NAME, SAYS_ITS_SIZE, Kind

MOST_BYTES = 100_000_000
"""A log larger than this is cut by whoever has it: its first and last error are all that is read of it."""
BEFORE, AFTER = 120_000, 6_000
"""Characters looked at around an error: a traceback of a hundred frames of several ranks, and its message."""

AROUND, MOST_SPOTS = 250, 1_000
"""Characters around a word in which its error begins and ends, and how many of a word are looked at from either end: a
log that says it ten million times says no more with the rest."""

# CSI, OSC and the two-letter sequences of ECMA-48; no nesting, so that a hostile line costs one pass.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b\n]{0,400}(?:\x07|\x1b\\)?|[@-Z\\-_])")
_PREFIX = re.compile(
    r"(?:[ \t]{0,8}(?:\[(?:default|rank|Rank )?\d{1,5}\]:?|\[\d+,\d+\]<std(?:err|out)>:?|"
    r"\([\w.:-]{1,80} (?:rank=\d+,? ?)?pid=\d+[^)\n]{0,80}\)|[\w.-]{1,60}[ ]{1,20}\|(?=[ ])|\d{1,4}:(?=[ ])|"
    r"worker-\d+:|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\w.,:+]{0,20}))+[ ]?"
)
_RANK = re.compile(r"(?:rank|default|Rank )?(\d{1,5})\]|,(\d+)\]<|rank=(\d+)|^(\d{1,4}):|worker-(\d+):")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[\w.,:+]*")


@dataclass(frozen=True, slots=True)
class Place:
    """An error in a log: its kind, its line (from 1), the rank that printed it, and the lines of that rank around it.

    ``before`` ends above the error's own line, ``text`` begins with the error.
    """

    kind: Kind
    line: int
    rank: str
    before: tuple[str, ...]
    text: str


def decoded(data: bytes) -> str:
    """A log's text in whatever a shell wrote: UTF-8, or the UTF-16 of PowerShell's ``>``; the rest is replaced."""
    if data[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "replace")


def plain(text: str) -> str:
    """The text without colours; where a bar was drawn over itself, its states become lines."""
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\xa0", " ")


def places(text: str) -> tuple[int, tuple[Place, ...]]:
    """How many errors a plain text has, and where its first and its last are; the same one said twice is one."""
    spans: list[tuple[int, Kind]] = []
    seen: set[tuple[str, str]] = set()
    for match in (match for start, end in _windows(text) for match in ANY.finditer(text, start, end)):
        kind = BY_NAME[match.lastgroup or ""]
        # The exception and what logs it print the same line: what follows tells one error from another.
        words = text[match.start() : match.start() + 160] if kind.name in SAYS_ITS_SIZE else ""
        key = kind.name, re.sub(r"\s+", " ", words)
        if key not in seen:
            seen.add(key)
            spans.append((match.start(), kind))
    # A message with figures goes before the words "out of memory" that stand around it.
    told = [span for span in spans if span[1].name != "unsized"] or spans
    chosen = [told[0], told[-1]] if len(told) > 1 else told
    return len(told), tuple(_place(text, start, kind) for start, kind in chosen)


def _windows(text: str) -> list[tuple[int, int]]:
    """Where something may be: around every word that an error has in it, the first and the last thousand of each."""
    spots: set[int] = set()
    for word in ANCHORS:
        ahead, back = text.find(word), len(text)
        for _ in range(MOST_SPOTS):
            if ahead < 0:
                break
            spots.add(ahead)
            ahead = text.find(word, ahead + 1)
        for _ in range(MOST_SPOTS if ahead >= 0 else 0):
            back = text.rfind(word, 0, back)
            spots.add(back)
    found: list[tuple[int, int]] = []
    for spot in sorted(spots):
        start, end = max(spot - AROUND, 0), spot + AROUND
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found


def _place(text: str, start: int, kind: Kind) -> Place:
    # In a file without line ends a line is what stands just before.
    first = max(text.rfind("\n", 0, start) + 1, start - AFTER)
    prefix = _PREFIX.match(text, first, start)
    mark = _mark(prefix[0]) if prefix else ""
    above = text[max(0, first - BEFORE) : first].splitlines()
    below = text[start : start + AFTER].splitlines()
    return Place(
        kind,
        text.count("\n", 0, start) + 1,
        _rank(mark),
        tuple(_of(above, mark)),
        "\n".join([below[0], *_of(below[1:], mark)]) if below else "",
    )


def _of(lines: list[str], mark: str) -> list[str]:
    """The lines that one rank printed, without what stands before them; all where ranks are not told apart."""
    found = []
    for line in lines:
        prefix = _PREFIX.match(line)
        if prefix and not mark:
            # Another's line between those of a process that marks none of its own.
            if _rank(_mark(prefix[0])):
                continue
            found.append(line[prefix.end() :])
        elif not mark or (prefix and _mark(prefix[0]) == mark):
            found.append(line[prefix.end() :] if prefix else line)
    return found


def _mark(prefix: str) -> str:
    return " ".join(_TIME.sub("", prefix).split())


def _rank(mark: str) -> str:
    found = _RANK.search(mark)
    return next((group for group in found.groups() if group), "") if found else ""
