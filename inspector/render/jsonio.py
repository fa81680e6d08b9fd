"""JSON documents: a format name and a version first, integers in bytes, keys that stay.

Changes of a format are logged in docs/json.md; adding a key does not change the version, renaming or removing does.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1


def document(kind: str, payload: Mapping[str, object], *, version: int = VERSION) -> str:
    """A report as a JSON text. ``kind`` is the command's name, as in ``inspector.lenses.memory``."""
    # Python would write NaN and Infinity, which are no JSON and stop other languages' parsers.
    return json.dumps({"format": f"inspector.{kind}", "version": version, **payload}, indent=2, allow_nan=False)
