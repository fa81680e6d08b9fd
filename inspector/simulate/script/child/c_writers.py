"""Libraries that open a file by its name in compiled code: they are given the scratch folder's, as Python's own are."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from inspector.simulate.script.child.errors import handed_on
from inspector.simulate.script.child.replaced import replace

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from inspector.simulate.script.child.imports import OnImport
    from inspector.simulate.script.child.scratch import Scratch

_OPENED = {
    "sqlite3": {"connect": 0},
    "safetensors": {"serialize_file": 1},
    "pyarrow": {"OSFile": 0, "memory_map": 0, "create_memory_map": 0},
    "pyarrow.parquet.core": {"ParquetWriter.__init__": 1, "ParquetFile.__init__": 1},
}
"""By module and name: which argument is the file's name."""

_READ_ONLY = frozenset({"memory_map", "ParquetFile.__init__"})


def install(scratch: Scratch, imports: OnImport) -> None:
    """As each of them is imported."""
    for module, names in _OPENED.items():
        imports.then(module, functools.partial(_replace, scratch, names))


def _replace(scratch: Scratch, names: dict[str, int], module: ModuleType) -> None:
    for name, position in names.items():
        holder: Any = module
        for part in name.split(".")[:-1]:
            holder = getattr(holder, part, None)
        real = getattr(holder, name.rpartition(".")[2], None)
        if real is not None:
            replace(f"{module.__name__}.{name}", _opening(scratch, real, position, read_only=name in _READ_ONLY))


def _opening(scratch: Scratch, real: Callable[..., Any], position: int, *, read_only: bool) -> Callable[..., Any]:
    def opened(*args: Any, **kwargs: Any) -> Any:
        given = list(args)
        if len(given) > position and _is_a_name(given[position]):
            mode = given[position + 1] if len(given) > position + 1 else kwargs.get("mode", "")
            reads = read_only or (isinstance(mode, str) and mode.startswith("r"))
            if reads:
                given[position] = scratch.to_read(given[position])
            else:
                scratch.any_writing = True
                scratch.made(given[position])
                given[position] = scratch.to_write(given[position], keep=True)
        return handed_on(real, *given, **kwargs)

    return opened


def _is_a_name(value: object) -> bool:
    """Whether it names a file: a data base may be in memory, or a locator."""
    return (isinstance(value, str) and bool(value) and not value.startswith((":memory:", "file:"))) or hasattr(
        value, "__fspath__"
    )
