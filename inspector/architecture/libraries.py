"""The libraries whose code runs: imported here first, so that one that is missing, broken or too old is one line."""

from __future__ import annotations

import importlib
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

from inspector.architecture.quiet import quiet
from inspector.errors import LibraryError, in_one_line

_FLOOR = re.compile(r"^([A-Za-z0-9_.-]+)[^;]*?>=\s*([0-9][0-9.]*)")
_imported: set[str] = set()


def need(*libraries: str) -> None:
    """Import libraries, in this order. Raises LibraryError for the first that cannot be used."""
    for library in libraries:
        if library not in _imported:
            _import(library)
            _imported.add(library)


def need_later(*libraries: str) -> None:
    """Raise LibraryError for the first that is not there; what is there is imported later, in a way of its own."""
    need(*(library for library in libraries if find_spec(library) is None))


def _import(library: str) -> None:
    if (found := _installed(library)) and (least := floors().get(library)) and _numbers(found) < _numbers(least):
        raise LibraryError(
            f"{library} {found} is installed, and Inspector needs {least} or newer",
            hint=f"pip install --upgrade '{library}>={least}'",
        )
    try:
        with quiet():  # bitsandbytes says as it is imported which kernels it did not find for the CPU
            importlib.import_module(library)
    except Exception as error:
        raise does_not_import(library, error) from error


def does_not_import(library: str, error: Exception) -> LibraryError:
    """The one line about a library whose import failed, in its own words."""
    missing = isinstance(error, ModuleNotFoundError) and error.name == library
    fix = f"pip install {library}" if missing else f"pip install --force-reinstall {library}"
    return LibraryError(
        f"{library} does not import: {in_one_line(error)}", hint=f"{fix}; `inspector doctor` looks at all of them"
    )


def _installed(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # not installed, or without metadata: its import says which
        return ""


@cache
def floors() -> dict[str, str]:
    """The oldest version of each library that this package declares, read off its own metadata."""
    try:
        declared = requires("llm-inspector") or []
    except PackageNotFoundError:  # run from a source tree that was never installed
        declared = []
    return {found[1].lower(): found[2] for line in declared if "extra ==" not in line and (found := _FLOOR.match(line))}


def _numbers(text: str) -> tuple[int, ...]:
    """The release of a version, to be compared: ``2.13.0+cpu`` is 2, 13, 0."""
    return tuple(int(part) for part in re.match(r"\d+(?:\.\d+)*", text)[0].split(".")) if text[:1].isdigit() else ()  # type: ignore[index]
