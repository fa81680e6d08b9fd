"""Modules of the user's own, run from a changed text: the file stays as it is, and so do the lines of tracebacks."""

from __future__ import annotations

import importlib.abc
import sys
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.simulate.script.overrides import apply_edits, decoded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

    from inspector.simulate.script.overrides import Edit


def install(edits: Sequence[Edit]) -> None:
    """Change the modules that edits name as they are imported, or run by ``-m``."""
    if any(each.file for each in edits):
        sys.meta_path.insert(0, _Changes(edits))


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, text: str) -> None:
        super().__init__(fullname, path)
        self._text = text

    def get_code(self, fullname: str) -> CodeType:
        """Of the changed text, and never of a cache, which has that of the file."""
        del fullname
        code: CodeType = compile(self._text, self.path, "exec", dont_inherit=True)
        return code


class _Changes(importlib.abc.MetaPathFinder):
    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = edits
        self._files = {Path(each.file).resolve(): each.file for each in edits if each.file}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Python's own spec with another loader, for a file that is changed; None for all others."""
        # Only by its name could a module be one of them: nothing else is looked for twice.
        if fullname.rpartition(".")[2] not in {name for each in self._files for name in (each.stem, each.parent.name)}:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        file = self._files.get(Path(spec.origin).resolve()) if spec is not None and spec.origin else None
        if spec is None or spec.origin is None or file is None:
            return None
        text = apply_edits(decoded(Path(spec.origin).read_bytes()), self._edits, file=file)
        spec.loader = _Loader(fullname, spec.origin, text)
        return spec
