"""The folder of a run: gone when the run ends; of a run that was killed, gone with the next one."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = "inspector-run-"

YOUNG = 60.0
"""Seconds for which a folder is left alone: it may have been made, and not be held yet."""


@contextlib.contextmanager
def run_folder(prefix: str = PREFIX) -> Iterator[Path]:
    """A folder that is held by a lock as long as this process lives, and removed in the end."""
    clear_dead(prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        with _held(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_dead(prefix: str = PREFIX) -> None:
    """Remove what runs have left that were killed: whoever lives holds its folder."""
    for each in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            state = each.lstat()
            if state.st_uid == os.getuid() and time.time() - state.st_mtime > YOUNG:
                with _held(each):
                    shutil.rmtree(each, ignore_errors=True)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder, until the block or this process ends. Raises OSError where another process does."""
    import fcntl  # of Unix alone, as the rest of a run is

    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)
