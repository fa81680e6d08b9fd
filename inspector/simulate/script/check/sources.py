"""The user's own code: the script or the notebook, and the modules beside it, as syntax trees with their places."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from inspector.errors import InspectorError
from inspector.files import read_bytes
from inspector.patched import without_warnings
from inspector.simulate.script.check.report import Place
from inspector.simulate.script.notebook import Skipped, read_notebook

_MOST_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class Part:
    """A tree of a file, or of one cell of a notebook."""

    tree: ast.Module
    cell: int = 0


@dataclass(frozen=True, slots=True)
class Mistake:
    """Where Python itself would not read on, in its own words."""

    what: str
    place: Place


@dataclass(slots=True)
class Source:
    """One module of the user's, with what its names mean.

    Attributes:
        name: how other modules import it; ``__main__`` for the script.
        file: its path, as short as it can be said.
        folder: where it lies.
        is_package: whether it is the ``__init__`` of a package.
        parts: its trees; a notebook has one a cell, which share their names.
    """

    name: str
    file: str
    folder: Path
    is_package: bool
    parts: tuple[Part, ...]
    mistakes: tuple[Mistake, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    names: dict[str, str] = field(default_factory=dict)

    def place(self, part: Part, node: ast.AST) -> Place:
        """Where a node of a part stands."""
        return Place(self.file, getattr(node, "lineno", 1), part.cell)


def read_source(path: Path, name: str, *, shown: str | None = None) -> Source:
    """A file of Python or a notebook.

    What Python could not read is among its mistakes. Raises InspectorError when there is no such file, or no notebook.
    """
    shown = _short(path) if shown is None else shown
    parts, mistakes = [], []
    skipped: tuple[Skipped, ...] = ()
    if path.suffix.lower() == ".ipynb":
        notebook = read_notebook(path)
        skipped = notebook.skipped
        texts: list[tuple[str | bytes, int]] = [(cell.code, cell.number) for cell in notebook.cells]
    else:
        # As bytes: a file may say in its first lines how it is encoded, and the parser knows how.
        texts = [(read_bytes(path, limit=_MOST_BYTES), 0)]
    for text, cell in texts:
        try:
            parts.append(Part(_parsed(text), cell))
        except SyntaxError as error:
            mistakes.append(Mistake(f"{type(error).__name__}: {error.msg}", Place(shown, error.lineno or 1, cell)))
        except ValueError as error:  # null bytes, on some versions
            mistakes.append(Mistake(f"SyntaxError: {error}", Place(shown, 1, cell)))
        except (RecursionError, MemoryError):
            raise InspectorError(f"{shown} is nested too deeply") from None
    return Source(
        name, shown, path.absolute().parent, path.name == "__init__.py", tuple(parts), tuple(mistakes), skipped
    )


def _parsed(text: str | bytes) -> ast.Module:
    # Of the script's own text, "\d" in a string say: Python says it again when it runs.
    with without_warnings():
        return compile(text, "<script>", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)  # type: ignore[no-any-return]


def beside(folder: Path, dotted: str) -> Path | None:
    """The file of a module of the user's own, from the folder that its imports begin at; None where there is none."""
    if not dotted or any(not part.isidentifier() for part in dotted.split(".")):
        return None
    base = folder.joinpath(*dotted.split("."))
    for found in (base.with_suffix(".py"), base / "__init__.py"):
        if found.is_file():
            return found
    return None


def _short(path: Path) -> str:
    """A path from where we are, where that is shorter."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
