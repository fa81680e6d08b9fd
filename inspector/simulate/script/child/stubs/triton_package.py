"""``triton`` and whatever lies in it, in the place of the package: it asks a driver, and none is here.

Its modules are made as they are asked for, so that no list of theirs has to be kept. Where the package is installed its
own description stays; where it is not, one stands in the run's folder, since libraries ask for a version.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import re
import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import ModuleType

_BROUGHT_ALONG = {(2, 9): "3.5.1", (2, 12): "3.7.1"}
"""From a release of PyTorch for CUDA on, the version that it asks for on Linux.

Source: ``.ci/docker/triton_version.txt`` of the releases, pytorch pull request 186814 and ROCm/pytorch 2814.
"""

_BOUND = ("backends", "compiler", "errors", "language", "runtime.autotuner", "runtime.jit", "testing", "tools")
"""Modules that are there as attributes once the package is imported. Source: triton/__init__.py of 3.5 to 3.9."""


def brought_along(torch: str) -> str:
    """The version of a PyTorch's own, by PyTorch's; of one between two that are known, the older's."""
    found = re.match(r"(\d+)\.(\d+)", torch)
    release = (int(found[1]), int(found[2])) if found else (0, 0)
    known = [each for each in _BROUGHT_ALONG if each <= release]
    return _BROUGHT_ALONG[max(known, default=min(_BROUGHT_ALONG))]


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes ``triton`` and every module in it."""

    def __init__(self, version: str) -> None:
        self._version = version

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """A package for each."""
        del path, target
        package, *below = fullname.split(".")
        # Who asks for a private module asks whose build this is (torch._inductor.config from PyTorch 2.15 on); without
        # it, it is nobody's. `_C` is every build's.
        if package != "triton" or any(name.startswith("_") and name != "_C" for name in below):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Python's own kind of module."""
        del spec
        return None

    def exec_module(self, module: ModuleType) -> None:
        """The names of `stubs.triton`, and for any other something that is called so."""
        from inspector.simulate.script.child.stubs import triton

        module.__dict__.update({name: value for name, value in vars(triton).items() if name in triton.NAMES})
        module.__dict__["__getattr__"] = triton.anything_called
        if module.__name__ == "triton":
            module.__dict__["__version__"] = self._version
            for name in _BOUND:
                import_module(f"triton.{name}")


def stand_in(folder: Path) -> None:
    """From here on every import of the package finds ours; ``folder`` is the run's."""
    installed = find_spec("triton") is not None
    found = version("triton") if installed else brought_along(version("torch"))
    if not installed:
        about = folder / "stubs" / f"triton-{found}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: triton\nVersion: {found}\n", encoding="utf-8")
        (about / "top_level.txt").write_text("triton\n", encoding="utf-8")
        (about / "RECORD").write_text("triton/__init__.py,,\n", encoding="utf-8")
        sys.path.append(str(folder / "stubs"))
    sys.meta_path.insert(0, Finder(found))
