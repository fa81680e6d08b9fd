"""Every key that a tool's own argument classes have, so that a key that is not read is told from one nobody knows.

Read off the sources by ``make trainer-keys`` (`scripts/trainer_keys.py`), with the version; no tool is needed here.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

FILE = Path(__file__).parents[3] / "data" / "trainer_keys.json"


@cache
def _tables() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = json.loads(FILE.read_text(encoding="utf-8"))["tools"]
    return found


@cache
def keys_of(tool: str) -> frozenset[str]:
    """The keys of a tool; none for one that has no table."""
    table = _tables().get(tool, {})
    keys = table.get("keys", ())
    return frozenset(str(key) for key in keys) if isinstance(keys, list) else frozenset()


def version_of(tool: str) -> str:
    """The version whose keys and defaults these are."""
    return str(_tables()[tool]["version"])
