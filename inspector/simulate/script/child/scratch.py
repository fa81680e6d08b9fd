"""What a script writes goes into a scratch folder, and it finds it again by the name that it gave.

Names outside the scratch folder are answered from two places: what the run wrote (under ``written`` in the run's
folder) before what is on disk. Functions of ``os`` and ``open`` are replaced, which all of Python's own library, and
so most libraries, go through; what C code opens by itself is not seen, and the few such writers have a line below.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, Any

from inspector.simulate.script.child.errors import handed_on

if TYPE_CHECKING:
    from pathlib import Path


class Scratch:
    """The files of a run. ``origin`` gives the name that the script knows a file by."""

    def __init__(self, run: Path) -> None:
        self._run = os.path.realpath(run)
        self._written = os.path.join(self._run, "written")
        self._gone: set[str] = set()
        self._lstat = os.lstat
        self.any_writing = False

    def inside(self, path: str) -> bool:
        """Whether a name is in the run's own folder, or a device of the system."""
        return path.startswith((self._run + os.sep, "/dev/", "/proc/", "/sys/")) or path == self._run

    def ours(self, path: str) -> str:
        """Where what the script writes under a name lies."""
        return os.path.join(self._written, path.lstrip(os.sep))

    def origin(self, path: str) -> str:
        """The name that the script knows a file by."""
        full = os.path.abspath(path)
        return full[len(self._written) :] if full.startswith(self._written + os.sep) else str(path)

    def to_read(self, path: Name) -> Any:
        """Where a name is read from."""
        full = full_name(path)
        if full is None or self.inside(full):
            return path
        ours = self.ours(full)
        if self._there(ours):
            return ours
        # What was removed is in neither place.
        return ours if any(full == gone or full.startswith(gone + os.sep) for gone in self._gone) else path

    def to_write(self, path: Name, *, keep: bool = False) -> Any:
        """Where a name is written; with ``keep`` what is there on disk is copied first."""
        full = full_name(path)
        if full is None or self.inside(full):
            return path
        ours = self.ours(full)
        folder = os.path.dirname(ours)
        # A folder that is on disk is there for what is written into it.
        if not self._there(folder) and os.path.isdir(os.path.dirname(full)):
            make_folders(folder)
        if keep and not self._there(ours) and full not in self._gone and os.path.isfile(full):
            copy(full, ours)
        return ours

    def removed(self, path: Name) -> None:
        """A name of the disk is gone for the script."""
        full = full_name(path)
        if full is not None and not self.inside(full):
            self._gone.add(full)

    def made(self, path: Name) -> None:
        """A name is there again."""
        full = full_name(path)
        if full is not None:
            self._gone.discard(full)

    def gone_in(self, folder: str) -> set[str]:
        """Names of a folder that were removed."""
        return {os.path.basename(each) for each in self._gone if os.path.dirname(each) == folder}

    def _there(self, path: str) -> bool:
        try:
            self._lstat(path)
        except OSError:
            return False
        return True


Name = str | bytes | os.PathLike[str] | int
"""What a file is called by; a number is one that is open already."""

real: dict[str, Any] = {}


def full_name(path: Name) -> str | None:
    """The absolute name of a path; None for a file that is open already."""
    if isinstance(path, int):
        return None
    text = handed_on(os.fspath, path)
    return os.path.abspath(os.fsdecode(text))


def make_folders(folder: str) -> None:
    """A folder of the run, and those above it."""
    parent = os.path.dirname(folder)
    if parent and parent != folder:
        try:
            real["os.stat"](parent)
        except OSError:
            make_folders(parent)
    with contextlib.suppress(FileExistsError):
        real["os.mkdir"](folder)


def copy(source: str, target: str) -> None:
    """The bytes of a file, past our own functions."""
    with real["open"](source, "rb") as read, real["open"](target, "wb") as write:
        shutil.copyfileobj(read, write)
