"""What is to be run, and how a module or a command is found without importing it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Literal

Kind = Literal["file", "module", "notebook", "entry"]


@dataclass(frozen=True, slots=True)
class Invocation:
    """One program to run, as Python would run it; in one process but for its ``launch``.

    Attributes:
        kind: a ``file`` of Python, a ``module`` as ``python -m`` runs it, a ``notebook``, or an ``entry``, the function
            that a command of an installed package calls.
        target: the file's path as typed, the module's dotted name, or ``package.module:function``.
        argv: what the program finds in ``sys.argv[1:]``.
        environment: variables that the command line or its launcher sets, in the order of their setting.
        notes: what was left out of the command, one line each.
        name: what it is called in reports, as typed.
        launch: the launcher's name and all words behind it, which start the program as one of several ranks; the
            launcher itself is asked what it tells them.
        unnamed: whether its file is one that nobody typed, as where a notebook that is open is asked for one cell: its
            lines are then those of ``cell 4``, and its folder is where we are.
    """

    kind: Kind
    target: str
    argv: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    name: str = ""
    launch: tuple[str, ...] = ()
    unnamed: bool = False

    @property
    def shown(self) -> str:
        """The file as its lines name it: as typed, or "" where it has no name."""
        return "" if self.unnamed else self.target

    @property
    def source(self) -> Path | None:
        """The file in which the program begins; None where none is found, as for a module that is compiled."""
        if self.kind in {"file", "notebook"}:
            return Path(self.target)
        return module_file(self.target.partition(":")[0], main=self.kind == "module")

    @property
    def home(self) -> Path | None:
        """Where its absolute imports begin: of ``python -m package.train`` the folder above the package."""
        path = self.source
        if path is None or self.kind != "module":
            return None if path is None else path.absolute().parent
        above = len(self.target.split(".")) - (path.name != "__main__.py")
        return [path.absolute().parent, *path.absolute().parent.parents][above]


def module_file(dotted: str, folders: tuple[str, ...] | None = None, *, main: bool = False) -> Path | None:
    """The source file of a module, found by its name alone: nothing of its packages is imported.

    With ``main`` a package is its ``__main__``, as for ``python -m``. None where there is no source file.
    """
    search: list[str] | None = list(folders) if folders is not None else [str(Path.cwd()), *sys.path]
    *packages, last = dotted.split(".")
    for package in packages:
        spec = PathFinder.find_spec(package, search)
        if spec is None or spec.submodule_search_locations is None:
            return None
        search = list(spec.submodule_search_locations)
    spec = PathFinder.find_spec(last, search)
    if spec is None:
        return None
    if main and spec.submodule_search_locations is not None:
        spec = PathFinder.find_spec("__main__", list(spec.submodule_search_locations))
    origin = spec.origin if spec is not None else None
    return Path(origin) if origin and origin.endswith(".py") and Path(origin).is_file() else None
