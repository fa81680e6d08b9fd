"""Texts that every installation has: a licence to read, docstrings to learn from and others to be asked about."""

from __future__ import annotations

import ast
import hashlib
import random
import zlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackagePath, distribution
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Iterator

LICENSED = "accelerate"
"""A library that Inspector needs; its licence is Apache-2.0, which the model has seen in training, as any text of the
web."""
TAUGHT = "pandas"
"""A library that Inspector needs, with a million words of docstrings, in a form that the model does not write."""
ONE_IN = 10
"""Of so many files of the library, the docstrings of one are held out."""


@dataclass(frozen=True)
class Text:
    """A text with where it comes from; ``digest`` is the SHA-256 of it in UTF-8."""

    name: str
    text: str

    @property
    def digest(self) -> str:
        """By which another machine knows that it reads the same."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def licence() -> Text:
    """The licence of a library that is always installed. Raises InspectorError where it was taken out."""
    for file in sorted(distribution(LICENSED).files or (), key=str):
        if file.name.upper().startswith("LICENSE") and ".dist-info" in str(file):
            return Text(f"the licence of {LICENSED}", _read(file))
    raise InspectorError(
        f"the installed {LICENSED} has no licence text", hint=f"pip install --force-reinstall {LICENSED}"
    )


def docstrings(seed: int = 0) -> tuple[Text, Text]:
    """The docstrings of the installed pandas in two parts, to train on and to be held out; read, and not imported.

    Parts are of different files, and no paragraph of one is in the other: pandas repeats many. Those to train on come
    in an order that the seed decides; those held out always in the same.
    """
    parts = [list(part) for part in _read_parts(Path(str(distribution(TAUGHT).locate_file(TAUGHT))))]
    for kept, chosen in zip(parts, (seed, 0), strict=True):
        random.Random(chosen).shuffle(kept)  # noqa: S311 -- an order that can be had again, no secret
    train, held = ("\n\n\n".join(kept) for kept in parts)
    return Text(f"docstrings of {TAUGHT}", train), Text(f"docstrings of {TAUGHT}, of other files", held)


@lru_cache(maxsize=1)
def _read_parts(root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Docstrings to train on and those held out, in the order of their files; three seconds, once a process."""
    parts: tuple[list[str], list[str]] = ([], [])
    files = sorted(path for path in root.rglob("*.py") if "tests" not in path.parts)
    if not files:
        raise InspectorError(f"the installed {TAUGHT} has no Python files to read docstrings from")
    # First those to train on: what the other part repeats of them is left out there.
    files.sort(key=lambda path: _held_out(path.relative_to(root)))
    seen: set[str] = set()
    for path in files:
        kept = parts[_held_out(path.relative_to(root))]
        for doc in _docstrings(path):
            new = [part for part in doc.split("\n\n") if part.strip() not in seen]
            seen.update(part.strip() for part in new)
            if new:
                kept.append("\n\n".join(new))
    return tuple(parts[0]), tuple(parts[1])


def _held_out(path: Path) -> bool:
    # Python's own ``hash`` of a text is another in every process.
    return zlib.crc32(path.as_posix().encode()) % ONE_IN == 0


def _docstrings(path: Path) -> Iterator[str]:
    """Those of a file's functions and classes with at least a few lines, in order."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            doc = ast.get_docstring(node) or ""
            if doc.count("\n") > 3:
                yield doc


def _read(file: PackagePath) -> str:
    return Path(str(file.locate())).read_text(encoding="utf-8")
