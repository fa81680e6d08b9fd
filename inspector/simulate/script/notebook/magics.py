"""Magics that change what later cells see, said in Python; all others only show or measure something."""

from __future__ import annotations

import re
import shlex

SAID_IN_PYTHON = frozenset({"time", "timeit", "capture", "prun", "inspector", "memray_flamegraph", "memit", "mprun"})
"""Cell magics whose cell is Python, which runs once."""

TIMED = frozenset({"time", "timeit", "prun", "memit"})
"""Line magics that are given a statement to run."""


def magic_in_python(name: str, rest: str) -> str | None:
    """One line of Python that does what a line magic does; None for one that a dry run has no use for."""
    if name in {"env", "set_env"}:
        variable, value = _assignment(rest)
        return f"import os; os.environ[{variable!r}] = {value!r}" if variable else "pass"
    if name == "cd" and rest and not rest.startswith("-"):
        folder = rest.strip("'\"")
        # What a shell line would have made, a clone say, is not there: then the folder stays.
        return f"import os; os.path.isdir({folder!r}) and os.chdir({folder!r})"
    if name == "run":
        # Its options come before the file, and what follows the file is for it.
        words = [word for word in _words(rest) if word not in {"-i", "-n", "-e", "-t", "-d", "-p"}]
        if words and not words[0].startswith("-"):
            file, arguments = words[0], words[1:]
            run = f"import runpy, sys; sys.argv[:] = {[file, *arguments]!r}; "
            return f"{run}globals().update(runpy.run_path({file!r}, run_name='__main__'))"
    return None


def statement(rest: str) -> str:
    """What a magic that times is given, without the magic's own options, of which some have a value."""
    return re.sub(r"^(?:-(?:[nrtplsTD](?:\s*=?\s*|)\S+|[oqcvi]+)\s+)*", "", rest.strip())


def captured(rest: str) -> str:
    """What ``%%capture name`` leaves under that name: here all output goes through, so there is none."""
    names = [word for word in rest.split() if word.isidentifier()]
    empty = "__import__('types').SimpleNamespace(stdout='', stderr='', outputs=[], show=lambda: None)"
    return f"{names[0]} = {empty}" if names else ""


def whole_cell(name: str, rest: str, body: list[str]) -> str | None:
    """One line of Python that does what a cell magic does with its cell; None for one that is left out."""
    if name not in {"writefile", "file"}:
        return None
    words = _words(rest)
    files = [word for word in words if not word.startswith("-")]
    if len(files) != 1:
        return None
    mode = "a" if {"-a", "--append"} & set(words) else "w"
    text = "\n".join(body) + "\n"
    return f"with open({files[0]!r}, {mode!r}, encoding='utf-8') as _file: _file.write({text!r})"


def _assignment(rest: str) -> tuple[str, str]:
    """``NAME=value`` or ``NAME value``; no name where it only asks."""
    found = re.match(r"([A-Za-z_]\w*)\s*(?:=|\s)\s*(.+)$", rest)
    return (found[1], found[2].strip()) if found else ("", "")


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # a quote that is not closed
        return text.split()
