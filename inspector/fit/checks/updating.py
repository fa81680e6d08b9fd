"""Today's figures written into a file of runs: one line a run, ``today = {...}``, and nothing else is touched.

By hand, a line at a time: what stays is then byte for byte what its user wrote. What comes out is read again, and
must be what was there but for those lines.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.fit.checks.toml_lines import Statement, read_toml, statements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.fit.checks.named_runs import RunsFile

TODAY = "today"
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def with_today(file: RunsFile, figures: Mapping[str, Mapping[str, str]]) -> str:
    """The file's text with each run's figures in a line of its table.

    Raises InspectorError for a run that is not written as a table of its own.
    """
    lines = file.text.split("\n")
    found = statements(file.text)
    # From below: the lines above keep their numbers.
    places = sorted(((_place(file, found, name), name) for name in figures), reverse=True)
    for (first, last, indent), name in places:
        end = "\r" if lines[max(first - 2, 0)].endswith("\r") else ""
        lines[first - 1 : last] = [f"{indent}{TODAY} = {_inline(figures[name])}{end}"]
    text = "\n".join(lines)
    before, after = read_toml(file.text, file.path.name), None
    # What `today` is where it is a table of its own, or keys with dots, makes two of it.
    with contextlib.suppress(InspectorError):
        after = read_toml(text, file.path.name)
    if after is None or _without(after, file, figures) != _without(before, file, figures):
        raise InspectorError(
            f"{file.path.name} cannot be written without changing more of it than a line of each run",
            hint="leave out what stands of today in it, and it is written anew",
        )
    return text


def _place(file: RunsFile, found: tuple[Statement, ...], name: str) -> tuple[int, int, str]:
    """The lines that ``today`` takes the place of; where there is none, the empty stretch after the run's last key."""
    table = (*file.table, name)
    before = next((at for at, each in enumerate(found) if each.header and each.path == table), None)
    if before is None:
        raise InspectorError(
            f"the run {name!r} of {file.path.name} is no table of its own, and today's figures have no place",
            hint=f"write it below [{'.'.join(table)}]",
        )
    inside = []
    for each in found[before + 1 :]:
        if each.header:
            break
        inside.append(each)
    for each in inside:
        if each.path == (*table, TODAY):
            return each.first, each.last, _indent(file, each.first)
    last = inside[-1] if inside else found[before]
    return last.last + 1, last.last, _indent(file, last.first)


def _indent(file: RunsFile, line: int) -> str:
    said = file.text.split("\n")[line - 1]
    return said[: len(said) - len(said.lstrip())]


def _inline(figures: Mapping[str, str]) -> str:
    """An inline table. JSON's texts are TOML's."""
    pairs = (
        f"{name if _BARE.fullmatch(name) else json.dumps(name)} = {json.dumps(text)}" for name, text in figures.items()
    )
    return f"{{ {', '.join(pairs)} }}"


def _without(data: Any, file: RunsFile, figures: Mapping[str, Mapping[str, str]]) -> Any:
    """The content without what is written anew."""
    place = data
    for key in file.table:
        place = place[key]
    for name in figures:
        place[name].pop(TODAY, None)
    return data
