"""Answers of dry runs kept on disk: one question to the same code and the same libraries is simulated once.

An entry is named by all that its answer depends on (`entry_name`), so it never has to be renewed, only dropped: the
longest unused ones go when the folder has grown too large.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from inspector.errors import InspectorError
from inspector.store.entries import cache_folder, cached
from inspector.store.plain_data import from_plain, to_plain
from inspector.trust import is_code_trusted

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

KIND = "dryruns"
LIMIT_BYTES = 64 * 10**6
"""Most that kept answers take on disk: some hundred reports, or ten thousand outcomes."""
_BLOCK = 4096
"""What a file takes at the least."""
_refused: set[Path] = set()
"""Folders in which nothing could be kept: one warning is enough for a run."""


def answered(question: tuple[Any, ...], cls: type | tuple[type, ...], make: Callable[[], T]) -> T:
    """The kept answer to a question, or a newly made one, which is then kept as `inspector.store.entries.cached` does.

    Args:
        question: plain data and our frozen dataclasses; all that the answer depends on, besides the code.
        cls: what the answer is; any other entry counts as damaged.
        make: makes the answer; its errors are raised, and nothing is kept.
    """
    if is_code_trusted() or cache_folder() in _refused:  # a model's own code is not part of the question
        return make()
    entry = Path(KIND, f"{entry_name(question)}.json")

    def load(data: bytes) -> T:
        try:
            answer: Any = from_plain(json.loads(data))
        except (ValueError, TypeError, KeyError, RecursionError):
            answer = None
        if not isinstance(answer, cls):
            raise InspectorError("it is no answer of a dry run")
        with suppress(OSError):
            os.utime(cache_folder() / entry)  # used now: others are dropped first
        return cast("T", answer)

    def dump(answer: T) -> bytes:
        drop_oldest(cache_folder() / KIND)
        return json.dumps(to_plain(answer), separators=(",", ":")).encode()

    answer = cached(entry, "a dry run", load=load, make=make, dump=dump)
    if not (cache_folder() / entry).exists():
        _refused.add(cache_folder())
    return answer


def entry_name(question: tuple[Any, ...]) -> str:
    """The name of a question's entry: what was asked, this program's code, and the libraries that are installed."""
    parts = [to_plain(question), code_fingerprint(), installed()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()[:32]


@cache
def code_fingerprint(package: Path = Path(__file__).parents[1]) -> str:
    """A hash of every source file of a package, so that changed code never serves what older code answered."""
    found = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
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
        with suppress(OSError), os.scandir(folder or ".") as entries:
            names |= {entry.name for entry in entries if entry.name.endswith((".dist-info", ".egg-info"))}
    return (sys.version, *sorted(name for name in names if not name.startswith("llm_inspector")))


def drop_oldest(folder: Path, limit: int = LIMIT_BYTES) -> None:
    """Remove the longest unused entries until the rest takes no more than the limit; other runs may do the same."""
    with suppress(OSError):
        with os.scandir(folder) as entries:
            found = sorted((each.stat().st_mtime, each.stat().st_size, each.path) for each in entries if each.is_file())
        left = sum(max(size, _BLOCK) for _, size, _ in found)
        for _, size, path in found:
            if left <= limit:
                break
            Path(path).unlink(missing_ok=True)
            left -= max(size, _BLOCK)
