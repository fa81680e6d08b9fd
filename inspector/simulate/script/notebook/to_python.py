"""A cell as Python: magics that say something to Python are said in Python, shell lines and the rest are left out.

Every line keeps its place, so that a traceback names the line that its author wrote. What IPython makes of a cell is
told in its documentation, "Built-in magic commands" and "Input transformation".
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from inspector.simulate.script.notebook.line_ends import Scanner
from inspector.simulate.script.notebook.magics import (
    SAID_IN_PYTHON,
    TIMED,
    captured,
    magic_in_python,
    statement,
    whole_cell,
)

_ASSIGNED = re.compile(r"(?P<indent>\s*)(?P<target>[A-Za-z_][\w.,\[\]'\" ]*?)\s*=\s*(?P<mark>!|%(?!=))(?P<rest>.*)$")
_HELP = re.compile(r"(\?{1,2}\s*[%\w.*]+|%{0,2}[\w.*]+(\[[^\]]*\])?\?{1,2})\s*;?\s*$")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A line of a notebook that is not run, by its cell and its line in it, and what it is."""

    cell: int
    line: int
    text: str
    what: str


def python_of(text: str, cell: int) -> tuple[str, list[Skipped]]:
    """The Python of a cell with its lines where they were, and what is left out. It may hold errors of its author's."""
    lines = text.splitlines()
    first = next(at for at, line in enumerate(lines) if line.strip())
    if lines[first].startswith("%%"):
        return _cell_magic(lines, first, cell)
    # Python itself has neither of these lines, and a text that happens to begin with a percent sign is no magic.
    return (text, []) if _parses(text) else _line_by_line(lines, cell)


def _cell_magic(lines: list[str], first: int, cell: int) -> tuple[str, list[Skipped]]:
    name, _, rest = lines[first][2:].partition(" ")
    before, body = [""] * first, lines[first + 1 :]
    if name in SAID_IN_PYTHON:
        python, skipped = _line_by_line(body, cell)
        head = captured(rest) if name == "capture" else ""
        # A line for the magic and for each before it: those below keep their numbers.
        return "\n".join([*before, head, python]), [
            Skipped(each.cell, each.line + first + 1, each.text, each.what) for each in skipped
        ]
    if (code := whole_cell(name, rest, body)) is not None:
        return "\n".join([*before, code, *("" for _ in body)]), []
    return "\n".join("" for _ in lines), [Skipped(cell, first + 1, lines[first].strip(), f"a cell of %%{name}")]


def _line_by_line(lines: list[str], cell: int) -> tuple[str, list[Skipped]]:
    """Lines that are no Python replaced, where a statement begins; within strings and brackets nothing is."""
    scanner = Scanner()
    made: list[str] = []
    skipped: list[Skipped] = []
    at = 0
    while at < len(lines):
        line = lines[at]
        if scanner.inside:
            scanner.feed(line)
            made.append(line)
            at += 1
            continue
        # A command of the shell goes on after a backslash, as a statement does.
        end = at
        while lines[end].endswith("\\") and end + 1 < len(lines):
            end += 1
        whole = " ".join(part.rstrip("\\").strip() for part in lines[at : end + 1])
        indent = line[: len(line) - len(line.lstrip())]
        said = _said(indent, whole)
        if said is None:
            scanner.feed(line)
            made.append(line)
            at += 1
            continue
        code, what = said
        made += [f"{indent}{code}", *("" for _ in range(end - at))]
        if what:
            skipped.append(Skipped(cell, at + 1, whole, what))
        at = end + 1
    return "\n".join(made), skipped


def _said(indent: str, line: str) -> tuple[str, str] | None:
    """What stands for a line that is no Python, and what it is where it is left out; None for any other line."""
    if line.startswith("!"):
        return "pass", "a command of the shell"
    if line.startswith("%"):
        name, _, rest = line.lstrip("%").partition(" ")
        if line.endswith("?"):
            return "pass", "a question for help"
        code = magic_in_python(name, rest.strip())
        # What a magic times or captures is Python, and may itself be a magic.
        if name in TIMED and (timed := statement(rest)):
            return _said(indent, timed) or (timed, "")
        return ("pass", f"the magic %{name}") if code is None else (code, "")
    if _HELP.match(line):
        return "pass", "a question for help"
    if (found := _ASSIGNED.match(line)) is not None:
        target, empty = found["target"].strip(), "[]" if found["mark"] == "!" else "None"
        if found["mark"] == "%" and found["rest"].partition(" ")[0] in TIMED:
            return f"{target} = {statement(found['rest'].partition(' ')[2]) or None}", ""
        code = f"{target} = {empty}"
        return (code, f"a command of the shell: {target} is {empty}") if _parses(code) else None
    return None


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True
