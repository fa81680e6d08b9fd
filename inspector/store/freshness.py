"""What an entry's answer depends on besides its question: the source that makes it, and what is installed.

An entry is named by both, so that it is never served after either has changed, and nothing has to be counted by hand.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.store.plain_data import to_plain

if TYPE_CHECKING:
    from inspector.store.plain_data import Keepable

PACKAGE = Path(__file__).parents[1]


def entry_name(question: Keepable, *rooms: str) -> str:
    """The name of a question's entry.

    Args:
        question: plain data and our frozen dataclasses; all that the answer depends on, besides code and libraries.
        rooms: patterns of the files of this package whose code makes the answer, such as ``skeleton/*.py``; all of
            them when none is given.
    """
    parts = [to_plain(question), source_of(*rooms), installed()]
    # 128 bits: no two questions meet, and with its folder the name stays short of what any file system takes.
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()[:32]


@cache
def source_of(*rooms: str, package: Path = PACKAGE) -> str:
    """A hash of the Python files of these rooms, by name and content.

    Of the whole package it takes 6 ms, of those of a skeleton a tenth of that.
    """
    found = hashlib.sha256()
    # In one order on every file system, and by the name below the package, wherever that is installed.
    for path in sorted(path for room in rooms or ("**/*.py",) for path in package.glob(room)):
        found.update(f"{path.relative_to(package).as_posix()}\0".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


@cache
def installed() -> tuple[str, ...]:
    """Python and every installed distribution with its version: transformers takes other paths when some are there.

    Read off the names of the folders that hold their metadata, which takes a millisecond.
    """
    names = set()
    for folder in sys.path:
        # setuptools puts its own vendored distributions there once it is imported, by whomever; none is installed.
        if folder.endswith("_vendor"):
            continue
        with suppress(OSError), os.scandir(folder or ".") as entries:
            names |= {entry.name for entry in entries if entry.name.endswith((".dist-info", ".egg-info"))}
    # This package is left out: its code is what `source_of` reads, and an editable install has no true version.
    return (sys.version, *sorted(name for name in names if not name.startswith("llm_inspector")))
