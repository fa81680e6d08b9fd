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
        # csv's own line end has a carriage return, which a shell's tools take for part of the last cell.
        writer = csv.DictWriter(stream, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    # Whoever prints it ends the line.
    return stream.getvalue().rstrip("\n")


def _cell(value: object) -> object:
    """A value as one cell. Text that a spreadsheet would run as a formula gets an apostrophe, by which it is text.

    Source: OWASP, "CSV Injection".
    """
    if isinstance(value, (list, tuple)):
        value = " ".join(map(str, value))
    # Before the signs are looked at: a negative number is no formula.
    if not isinstance(value, str):
        return value
    text = clean(value)
    # OWASP names tab and carriage return too; cleaning has replaced both.
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
