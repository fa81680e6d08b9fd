"""The script's own line that runs now: the innermost frame of a file that the user wrote."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType


class Lines:
    """Knows which files are the user's.

    Args:
        folder: of the script; modules beside it are the user's, too.
        own: files that are the script itself, wherever they lie.
    """

    def __init__(self, folder: Path, own: tuple[str, ...] = ()) -> None:
        self._folder = str(folder.resolve())
        self._own = set(own)
        self._package = ""
        libraries = {sysconfig.get_paths()[name] for name in ("purelib", "platlib", "stdlib")}
        libraries.add(str(Path(__file__).resolve().parents[3]))
        self._libraries = tuple(sorted(libraries))
        # site-packages lies within the standard library's folder, and is not of it.
        site = str(Path(sysconfig.get_paths()["purelib"]))
        stdlib = Path(sysconfig.get_paths()["stdlib"])
        within = [str(each) for each in stdlib.iterdir() if not site.startswith(str(each))] if stdlib.is_dir() else []
        self._passing = ("<frozen", str(Path(__file__).resolve().parents[3]), *within)
        self._shown: dict[CodeType, str | None] = {}

    def now(self) -> str:
        """``train.py:31``, or "" where no frame is the user's."""
        frame = sys._getframe(1)
        shown = self._shown
        while frame is not None:
            code = frame.f_code
            try:
                name = shown[code]
            except KeyError:
                name = shown[code] = self._name(code.co_filename)
            if name is not None:
                return f"{name}:{frame.f_lineno}"
            frame = frame.f_back  # type: ignore[assignment]
        return ""

    def called_by_own(self) -> bool:
        """Whether the innermost frame that is neither ours nor of Python's own library is the user's."""
        frame = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename.startswith(self._passing):
            frame = frame.f_back  # type: ignore[assignment]
        return frame is None or self.is_own(frame.f_code.co_filename)

    def also(self, file: str, *, package: bool = False) -> None:
        """A file that is the script, too, though it lies among the libraries; with ``package`` all beside it is."""
        full = str(Path(file).resolve())
        self._own.add(full)
        if package:
            self._package = str(Path(full).parent) + "/"
        self._shown.clear()

    def is_own(self, file: str) -> bool:
        """Whether a file is the user's."""
        return self._name(file) is not None

    def _name(self, file: str) -> str | None:
        if file in self._own:
            return Path(file).name
        if file.startswith("<"):
            return None
        full = str(Path(file).resolve())
        if full in self._own:
            return Path(file).name
        if self._package and full.startswith(self._package):
            return full[len(self._package) :]
        if "site-packages" in full or full.startswith(self._libraries) or not full.startswith(self._folder + "/"):
            return None
        return full[len(self._folder) + 1 :]
