"""What is done when the script, or a library of its, imports a module: not before, as nothing is imported for it."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType


class _Loader(importlib.abc.Loader):
    def __init__(self, inner: Any, name: str, watch: OnImport) -> None:
        self._inner, self._name, self._watch = inner, name, watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        found: ModuleType | None = self._inner.create_module(spec)
        return found

    def exec_module(self, module: ModuleType) -> None:
        with self._watch.around.get(self._name, nullcontext)():
            self._inner.exec_module(module)
        for action in self._watch.after.get(self._name, ()):
            action(module)


class OnImport(importlib.abc.MetaPathFinder):
    """Actions by the full name of a module: ``after`` it is there, and contexts ``around`` its execution."""

    def __init__(self) -> None:
        self.after: dict[str, list[Callable[[ModuleType], None]]] = {}
        self.around: dict[str, Callable[[], AbstractContextManager[Any]]] = {}
        self._finding: set[str] = set()

    def then(self, name: str, action: Callable[[ModuleType], None]) -> None:
        """Do this once the module is there; now, if it is there already."""
        self.after.setdefault(name, []).append(action)
        if name in sys.modules:
            action(sys.modules[name])

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The others' spec, with our actions around its loader."""
        if fullname in self._finding or (fullname not in self.after and fullname not in self.around):
            return None
        self._finding.add(fullname)
        try:
            for finder in sys.meta_path:
                if finder is self or not hasattr(finder, "find_spec"):
                    continue
                spec = finder.find_spec(fullname, path, target)
                if spec is not None and spec.loader is not None:
                    spec.loader = _Loader(spec.loader, fullname, self)
                    return spec
        finally:
            self._finding.discard(fullname)
        return None
