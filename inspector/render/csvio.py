"""Tables as CSV, for spreadsheets."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows of equal keys as CSV, the keys as its header. Lists are joined with spaces."""
    rows = [
        {key: " ".join(map(str, value)) if isinstance(value, (list, tuple)) else value for key, value in row.items()}
        for row in rows
    ]
    stream = io.StringIO()
    if rows:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return stream.getvalue().rstrip("\n")
