"""The answer to a pasted error, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from inspector.reporting import Report

if TYPE_CHECKING:
    from inspector.explain.figures import Figures
    from inspector.explain.frames import Frame
    from inspector.explain.kinds import Kind
    from inspector.explain.operators import Operator
    from inspector.explain.tensor import Named
    from inspector.explain.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Explained:
    """One error of a log: what it says, what the figures add up to, which tensor it was, and what helps.

    ``line`` counts from 1, ``rank`` is empty where lines are not marked by ranks. ``verdict`` and ``named`` are None
    for errors without figures of a card's allocator. ``own`` is the innermost frame of the user's code, ``library``
    the innermost of all where that is a library's.
    """

    error: Kind
    line: int
    rank: str
    figures: Figures
    verdict: Verdict | None
    operator: Operator | None
    own: Frame | None
    library: Frame | None
    named: Named | None
    helps: tuple[str, ...]


@dataclass(frozen=True)
class ExplainReport(Report):
    """What a log's errors say. ``errors`` are the first and the last of ``found``; one where there is but one.

    ``model`` is the model whose shapes were compared, empty for none; ``model_said`` tells whether it was named, or
    read off the text. ``simulated`` is the dry run of it where settings were given: a `StepReport` or a
    `GenerateReport`.
    """

    kind: ClassVar[str] = "explain"

    source: str
    found: int
    errors: tuple[Explained, ...]
    model: str = ""
    model_said: bool = True
    simulated: Report | None = None
    notes: tuple[str, ...] = ()
