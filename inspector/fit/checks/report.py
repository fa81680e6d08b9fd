"""What a repository's limits say today: a line a limit, with the figure that decided it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from inspector.reporting import Report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from inspector.fit.checks.limits import Unit
    from inspector.simulate.on_card import Verdict


@dataclass(frozen=True, slots=True)
class Held:
    """A limit beside what it is of.

    ``value`` is the figure itself, bytes or parameters, and ``measured`` the same in the limit's ``unit``, as ``bound``
    and ``over`` are; ``over`` is by how much it is on the wrong side, 0 where it holds. ``holds`` is None where a run
    ended before it was through: it holds so far, and nothing is known of what would have come.
    """

    text: str
    figure: str
    value: int
    unit: Unit
    measured: Fraction
    bound: Fraction
    over: Fraction
    holds: bool | None


@dataclass(frozen=True, slots=True)
class Fits:
    """A card that a run must fit. ``margin`` is what it has left, below zero what is missing."""

    card: str
    verdict: Verdict
    margin: int
    ended: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether it serves the run; a tight fit is one. None where it does so far, and the run ended early."""
        if self.verdict == "does not fit":
            return False
        return None if self.ended else True


@dataclass(frozen=True, slots=True)
class Failed:
    """A run that could not be simulated: why, and what to do; ``at`` is its line."""

    name: str
    at: str
    error: str
    hint: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A run and its limits.

    ``figures`` are by the names of `inspector.fit.checks.limits.FIGURES`, in bytes, ``trainable`` in parameters of
    ``all_parameters``; on ``card``, the first of several alike. ``was`` are figures that ``--update`` wrote and that
    differ today. ``error`` is what ended a script. ``report`` is the whole answer.
    """

    name: str
    kind: str
    what: str
    at: str
    card: str
    figures: Mapping[str, int]
    all_parameters: int
    limits: tuple[Held, ...]
    fits: tuple[Fits, ...]
    today: Mapping[str, str]
    was: Mapping[str, str]
    error: str
    report: Report = field(repr=False)

    @property
    def holds(self) -> bool:
        """Whether every limit holds, every card serves it, and a script ended well."""
        return not self.error and all(each.holds for each in self.limits) and all(each.holds for each in self.fits)


@dataclass(frozen=True)
class CheckReport(Report):
    """All runs of a file, those in ``failed`` without an answer. ``updated``: today's figures were written into it."""

    kind: ClassVar[str] = "check"

    file: str
    runs: tuple[Checked, ...]
    failed: tuple[Failed, ...] = ()
    updated: bool = False

    @property
    def holds(self) -> bool:
        """Whether every run does."""
        return not self.failed and all(run.holds for run in self.runs)
