"""The last error of the command line, for a report to whoever is asked for help. Kept scrubbed; nothing else is."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.files import exists, read_bytes, write_bytes
from inspector.store.entries import store_folder
from inspector.store.scrubbed import scrubbed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST_LINES = 60
"""Of a traceback its end says what was wrong."""
_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class LastError:
    """``command`` as it was typed, ``exit_code`` 2 or 70, ``text`` what was said, ``day`` when. All scrubbed."""

    command: str
    exit_code: int
    text: str
    day: str


def keep_error(words: Sequence[str], exit_code: int, text: str) -> None:
    """Keep an error in place of the one before; where nothing can be written, nothing is kept."""
    import shlex

    lines = text.splitlines()
    short = lines if len(lines) <= MOST_LINES else ["...", *lines[-MOST_LINES:]]
    found = LastError(scrubbed(shlex.join(["inspector", *words])), exit_code, scrubbed("\n".join(short)),
                      time.strftime("%Y-%m-%d", time.gmtime()))  # fmt: skip
    with contextlib.suppress(InspectorError, OSError, RuntimeError):
        write_bytes(_place(), json.dumps(asdict(found)).encode())


def last_error() -> LastError | None:
    """The error that was kept last; None where there is none, or it is damaged."""
    with contextlib.suppress(InspectorError, ValueError, TypeError, RuntimeError):
        if exists(_place()):
            said = json.loads(read_bytes(_place(), limit=_LIMIT))
            return LastError(str(said["command"]), int(said["exit_code"]), str(said["text"]), str(said["day"]))
    return None


def _place() -> Path:
    return store_folder() / "last-error.txt"
