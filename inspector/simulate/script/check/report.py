"""What a look at a script finds before any of it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from inspector.reporting import Report
from inspector.simulate.script.notebook.read import cell_filename

Grade = Literal["error", "refused", "assumed", "skipped"]
"""``error``: the script's own mistake, which Python itself would tell. ``refused``: ends a dry run. ``assumed``: a
stated policy stands for it. ``skipped``: is not done, and changes no memory of the card."""

GRADES: tuple[Grade, ...] = ("error", "refused", "assumed", "skipped")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a file, or of a cell of a notebook (0 where there are no cells); line 0 is the command line."""

    file: str
    line: int
    cell: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        if self.cell:
            return f"{cell_filename(self.file, self.cell)}, line {self.line}"
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing in a script that is not simulated as it stands.

    Attributes:
        grade: what a dry run does about it.
        what: what it is, in a few words.
        instead: what to do, or what is assumed; empty where nothing need be done.
        place: where it stands.
        certain: whether the line is reached whatever the data says; else it may lie in a branch that is not taken.
    """

    grade: Grade
    what: str
    instead: str
    place: Place
    certain: bool = True


@dataclass(frozen=True)
class CheckReport(Report):
    """All that was found, the gravest first, and the files that were read.

    Attributes:
        name: what was looked at, as typed.
        findings: by their grade, then by their place.
        files: those of the user that were read, in the order in which they are reached.
    """

    kind: ClassVar[str] = "script_check"

    name: str
    findings: tuple[Finding, ...]
    files: tuple[str, ...]

    def of(self, grade: Grade) -> tuple[Finding, ...]:
        """The findings of one grade."""
        return tuple(finding for finding in self.findings if finding.grade == grade)

    @property
    def hindrances(self) -> tuple[Finding, ...]:
        """What keeps a dry run from its end whatever the data says."""
        return tuple(each for each in self.findings if each.grade in {"error", "refused"} and each.certain)

    @property
    def can_run(self) -> bool:
        """Whether nothing was found that certainly ends a dry run."""
        return not self.hindrances
