"""Named runs of a repository, as its file says them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError, closest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from inspector.fit.checks.limits import Limit
    from inspector.fit.checks.words import Kind


@dataclass(frozen=True, slots=True)
class Run:
    """A named run: what is simulated, how, and what must hold of it.

    It is of a ``model``, of ``config`` files, or of a ``script`` with its arguments, as they are written. ``cards`` are
    those that it must fit, ``options`` the words of the command that its ``kind`` is. ``today`` is what ``--update``
    wrote last. ``at`` is where it stands, ``pyproject.toml:12``.
    """

    name: str
    kind: Kind
    model: str
    config: tuple[str, ...]
    script: tuple[str, ...]
    options: Mapping[str, Any]
    limits: tuple[Limit, ...]
    cards: tuple[str, ...]
    today: Mapping[str, str]
    at: str

    @property
    def what(self) -> str:
        """The script, the files or the model, in a line."""
        return " ".join(self.script or self.config or (self.model,))


@dataclass(frozen=True)
class RunsFile:
    """A file as it was read: its text, the path of the table with the runs, and the runs in their order."""

    path: Path
    text: str = field(repr=False)
    table: tuple[str, ...]
    runs: tuple[Run, ...]

    def chosen(self, names: Sequence[str]) -> tuple[Run, ...]:
        """The runs of these names, all when there are none. Raises InspectorError for a name that none has."""
        known = {run.name: run for run in self.runs}
        for name in names:
            if name not in known:
                close = closest(name, known)
                hint = f"did you mean {close[0]}?" if close else f"runs: {', '.join(known)}"
                raise InspectorError(f"{self.path.name} has no run named {name!r}", hint=hint)
        return tuple(run for run in self.runs if not names or run.name in names)
