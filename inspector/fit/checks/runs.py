"""A repository's file of named runs: ``[tool.inspector]`` of pyproject.toml, or inspector.toml. No torch here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.files import exists, read_text
from inspector.fit.checks.named_runs import RunsFile
from inspector.fit.checks.reading import Reader
from inspector.fit.checks.toml_lines import read_toml, statements

if TYPE_CHECKING:
    from pathlib import Path

OWN, SHARED = "inspector.toml", "pyproject.toml"
MOST_BYTES = 1_000_000


def find_file(folder: Path) -> Path:
    """The nearest file with runs, in a folder or above it. Raises InspectorError when there is none, or are two."""
    for each in (folder, *folder.parents):
        own, shared = each / OWN, each / SHARED
        in_shared = exists(shared) and shared.is_file() and _has_table(shared)
        if exists(own) and in_shared:
            raise InspectorError(f"{own} and [tool.inspector] of {SHARED} beside it both have runs", hint="keep one")
        if exists(own):
            return own
        if in_shared:
            return shared
    raise InspectorError(
        f"no {SHARED} with [tool.inspector] and no {OWN} is here or above",
        hint='write [tool.inspector.runs.train] with model = "llama-3.2-1b" and limits = ["peak <= 15 GiB"]',
    )


def _has_table(path: Path) -> bool:
    text = read_text(path, limit=MOST_BYTES)
    # A broken file of another tool's is no business of ours, one that names us is.
    return "inspector" in text and "inspector" in _mapping(read_toml(text, path.name).get("tool"))


def read_runs(path: Path) -> RunsFile:
    """Read and check a file, everything but the models themselves.

    Raises InspectorError, with the line, for a broken file, an unknown word, a value of another kind, a limit that is
    none, settings that contradict each other, or a file that is not there.
    """
    return parse_runs(read_text(path, limit=MOST_BYTES), path)


def parse_runs(text: str, path: Path) -> RunsFile:
    """The same of a text that was read from ``path``."""
    data, found = read_toml(text, path.name), statements(text)
    prefix: tuple[str, ...] = ("tool", "inspector")
    ours = _mapping(data.get("tool")).get("inspector")
    if ours is None and path.name != SHARED:
        prefix, ours = (), data
    reader = Reader(path, found, prefix)
    if not isinstance(ours, dict):
        raise InspectorError(f"{reader.at()}: there is no table [tool.inspector]", hint="see docs/how-to/ci.md")
    return RunsFile(path, text, (*prefix, "runs"), reader.runs(ours))


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
