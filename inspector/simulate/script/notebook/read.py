"""From an ``.ipynb`` of any version to its cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspector.errors import InspectorError
from inspector.files import read_json_object
from inspector.simulate.script.notebook.to_python import Skipped, python_of

# A notebook holds the pictures and the logs that it printed.
_MOST_BYTES, _MOST_VALUES = 300_000_000, 5_000_000


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of code.

    Attributes:
        number: as Jupyter counts the cells when all are run from the top; empty ones and text have none.
        code: Python with the lines of the cell, each at its place.
        filename: what a traceback calls it.
    """

    number: int
    code: str
    filename: str


@dataclass(frozen=True, slots=True)
class Notebook:
    """The cells of code of a notebook in their order, and the lines of them that are not run."""

    path: str
    cells: tuple[Cell, ...]
    skipped: tuple[Skipped, ...]

    def cell_of(self, filename: str) -> Cell | None:
        """The cell that a traceback's file name means; None for any other file."""
        return next((cell for cell in self.cells if cell.filename == filename), None)


def cell_filename(path: str, number: int) -> str:
    """What a traceback calls a cell: ``week7.ipynb, cell 7``, or ``cell 7`` of a notebook that has no name."""
    return f"{path}, cell {number}" if path else f"cell {number}"


def read_notebook(path: Path | str, shown: str | None = None) -> Notebook:
    """The notebook at a path, as the format's versions 2 to 4 keep it, its cells named by ``shown`` in its place.

    Raises InspectorError, in one line, when the file is no notebook, none of Python, or holds no code.
    """
    where = Path(path)
    content = read_json_object(where, limit=_MOST_BYTES, values=_MOST_VALUES)
    _of_python(content, path)
    cells: list[Cell] = []
    skipped: list[Skipped] = []
    for text in _code(content, path):
        if not text.strip():
            continue
        number = len(cells) + 1
        code, left = python_of(text, number)
        cells.append(Cell(number, code, cell_filename(str(path) if shown is None else shown, number)))
        skipped += left
    if not cells:
        raise InspectorError(f"{path} has no cell of code")
    return Notebook(str(path), tuple(cells), tuple(skipped))


def _of_python(content: dict[str, Any], path: Path | str) -> None:
    """Raise InspectorError when a notebook says that it is of another language."""
    metadata = content.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    for place in ("kernelspec", "language_info"):
        said = metadata.get(place)
        said = said if isinstance(said, dict) else {}
        language = said.get("language") if place == "kernelspec" else said.get("name")
        if isinstance(language, str) and language and "python" not in language.lower():
            raise InspectorError(f"{path} is a notebook of {language}, not of Python")


def _code(content: dict[str, Any], path: Path | str) -> list[str]:
    """The text of every cell of code."""
    cells = content.get("cells")
    if cells is None and isinstance(content.get("worksheets"), list):
        # Before version 4 the cells lay in worksheets, of which no program ever made a second.
        sheets = [sheet for sheet in content["worksheets"] if isinstance(sheet, dict)]
        cells = [cell for sheet in sheets for cell in sheet.get("cells") or []]
    if not isinstance(cells, list):
        raise InspectorError(f"{path} is no notebook: it has no cells", hint="is this the right file?")
    found = []
    for cell in cells:
        if not isinstance(cell, dict):
            raise InspectorError(f"{path} is no notebook: a cell is a JSON {type(cell).__name__}")
        if cell.get("cell_type") != "code" or str(cell.get("language", "python")).lower() not in {"python", "ipython"}:
            continue
        source = cell.get("source", cell.get("input", ""))
        parts = [part for part in (source if isinstance(source, list) else [source]) if isinstance(part, str)]
        if not isinstance(source, list | str) or (isinstance(source, list) and len(parts) < len(source)):
            raise InspectorError(f"{path} is no notebook: a cell's source is no text")
        found.append("".join(parts))
    return found
