"""The tables of the gguf package, without its readers and writers.

Importing any part of it runs its ``__init__``, which imports numpy and yaml for those: 15 MiB and a quarter of a
second, more than a whole answer takes. So its two files of tables are loaded as they are, as parts of a package of
ours.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_OURS = "_gguf_tables_of_inspector"


@cache
def tables(name: str) -> Any:
    """The gguf package's ``constants`` or ``tensor_mapping``.

    Raises ModuleNotFoundError where the package is not installed, as importing it does.
    """
    if _OURS not in sys.modules:
        found = find_spec("gguf")
        if found is None or found.submodule_search_locations is None:
            raise ModuleNotFoundError("No module named 'gguf'", name="gguf")
        package = ModuleType(_OURS)
        package.__path__ = list(found.submodule_search_locations)
        sys.modules[_OURS] = package
    return importlib.import_module(f"{_OURS}.{name}")
