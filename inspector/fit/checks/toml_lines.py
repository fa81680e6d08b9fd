"""Where each key of a TOML file stands: its statements with their lines. What the values are, tomllib says."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass

from inspector.errors import InspectorError

MOST_STATEMENTS = 20_000
"""A project's file has a few hundred."""

# The only things in which a bracket, a hash or the end of a line means something else; longest first.
_TEXT = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    """A table's header, or a key with its value: its whole path, its first and last line from 1."""

    path: tuple[str, ...]
    first: int
    last: int
    header: bool


def read_toml(text: str, name: str) -> dict[str, object]:
    """The content of a TOML text. Raises InspectorError with the line where it breaks."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        where = re.search(r" ?\(at line (\d+), column \d+\)", said)
        at = f":{where[1]}" if where else f":{len(text.splitlines()) or 1}"
        said = re.sub(r" ?\(at .*?\)", "", said)
        raise InspectorError(f"{name}{at} is no TOML: {said[:1].lower()}{said[1:]}") from None
    except RecursionError:
        raise InspectorError(f"{name} is nested too deeply") from None
    except ValueError as error:  # an integer of thousands of digits
        raise InspectorError(f"{name} is no usable TOML: {' '.join(str(error).split())[:100]}") from None


def statements(text: str) -> tuple[Statement, ...]:
    """The statements of a text that tomllib reads, in their order."""
    found: list[Statement] = []
    table: tuple[str, ...] = ()
    for first, last, said in _logical_lines(text):
        header = re.match(r"\s*\[\[?(.*?)\]\]?\s*(#.*)?$", said, re.DOTALL) if said.lstrip().startswith("[") else None
        if header is not None:
            table = _path(header[1])
            found.append(Statement(table, first, last, header=True))
        elif (equals := _equals(said)) > 0:
            found.append(Statement((*table, *_path(said[:equals])), first, last, header=False))
        if len(found) > MOST_STATEMENTS:
            break
    return tuple(found)


def line_of(found: tuple[Statement, ...], path: tuple[str, ...]) -> int:
    """The line of a path of keys, or of the nearest that stands above it; 0 where none does."""
    for length in range(len(path), 0, -1):
        exact = [each for each in found if each.path == path[:length]]
        # A table that is opened in parts has a line for each of its keys alone.
        below = exact or [each for each in found if each.path[:length] == path[:length]]
        if below:
            return below[0].first
    return 0


def _logical_lines(text: str) -> list[tuple[int, int, str]]:
    """Statements with their first and last line: what stands in brackets or in a text of many lines goes on."""
    found: list[tuple[int, int, str]] = []
    line = first = 1
    at = begin = depth = 0
    while at < len(text):
        letter = text[at]
        if letter in "\"'" and (match := _TEXT.match(text, at)):
            line += match[0].count("\n")
            at = match.end()
            continue
        if letter == "#":
            end = text.find("\n", at)
            at = len(text) if end < 0 else end
            continue
        depth += (letter in "[{") - (letter in "]}")
        if letter == "\n":
            if depth <= 0:
                found.append((first, line, text[begin:at]))
                begin, first, depth = at + 1, line + 1, 0
            line += 1
        at += 1
    found.append((first, line, text[begin:]))
    return [each for each in found if each[2].strip()]


def _equals(said: str) -> int:
    """Where the first equals sign outside of a quoted key stands."""
    at = 0
    while at < len(said):
        if said[at] in "\"'" and (match := _TEXT.match(said, at)):
            at = match.end()
            continue
        if said[at] in "=#":
            return at if said[at] == "=" else -1
        at += 1
    return -1


def _path(key: str) -> tuple[str, ...]:
    """The parts of a key as it is written: tomllib's own reading of it."""
    try:
        tree: object = tomllib.loads(f"{key.strip()} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    parts: list[str] = []
    while isinstance(tree, dict):
        ((part, tree),) = tree.items()
        parts.append(part)
    return tuple(parts)
