"""Tables as CSV, for spreadsheets."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from inspector.safe_text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def csv_text(rows: Iterable[Mapping[str, object]]) -> str:
    """Rows of equal keys as CSV, the keys as its header. Lists are joined with spaces; names from files are data."""
    lines = [{key: _cell(value) for key, value in row.items()} for row in rows]
    stream = io.StringIO()
    if lines:
        writer = csv.DictWriter(stream, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return stream.getvalue().rstrip("\n")


def _cell(value: object) -> object:
    """A value as one cell. Text that a spreadsheet would run as a formula gets an apostrophe, by which it is text.

    Source: OWASP, "CSV Injection".
    """
    if isinstance(value, (list, tuple)):
        value = " ".join(map(str, value))
    if not isinstance(value, str):
        return value
    text = clean(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
