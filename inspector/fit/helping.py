"""The changes that help a step which does not fit: each alone, and where none is enough, some together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.errors import CannotSimulateError, ContradictionError
from inspector.fit.cause import ALONE, LIKELY, MATTERS, about, could_close
from inspector.fit.changes import candidates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inspector.fit.cause import Part
    from inspector.fit.changes import Candidate
    from inspector.fit.simulator import Simulator
    from inspector.simulate.finetuning import StepReport
    from inspector.simulate.on_card import Peaks
    from inspector.simulate.setup.settings import FinetuneSettings


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the setup, what it costs, and what the changed setup takes."""

    what: str
    cost: str
    settings: tuple[tuple[str, Any], ...]
    peaks: Peaks


@dataclass(frozen=True, slots=True)
class Help:
    """Single changes that help; those that fit together; or, when nothing does, all together, which do not.

    ``weights_alone`` are bytes that no change brings down and that are more than the card has; 0 where that is not so.
    """

    changes: tuple[Change, ...] = ()
    together: tuple[Change, ...] = ()
    smallest: Change | None = None
    weights_alone: int = 0


class Helping:
    """What helps one step on one card.

    Args:
        simulator: of the model on the card.
        settings: how it is trained.
        report: the step as it is, which does not fit.
        parts: what its peak consists of.
    """

    def __init__(
        self, simulator: Simulator, settings: FinetuneSettings, report: StepReport, parts: Mapping[Part, int]
    ) -> None:
        self._simulator = simulator
        self._settings = settings
        self._now = report.peaks
        self._parts = parts
        self._missing = max(-report.peaks.margin, 1)
        main = next(iter(parts))
        worth = [
            one for one in candidates(settings, report.math_cures) if could_close(parts, one.of, self._missing, MATTERS)
        ]
        self._candidates = sorted(worth, key=lambda one: main not in one.of)  # stable: cheapest first in either half

    def found(self) -> Help:
        """Nothing is simulated where the weights alone are too much, nor one by one where all together are.

        All together are not asked where the one that is about most is enough.
        """
        joined = [one for one in self._candidates if not one.alone]
        if (loaded := self._loaded(joined)) > self._available:
            return Help(weights_alone=loaded)
        if not self._one_is_enough():
            everything = self._peaks(joined) if joined else self._now
            if everything is not None and not everything.fits:
                return Help(smallest=self._change(joined, everything) if joined else None)
        changes = self._alone()
        if any(peaks.fits for _, peaks in changes):
            return Help(tuple(self._change([one], peaks) for one, peaks in changes))
        return Help(tuple(self._change([one], peaks) for one, peaks in changes), tuple(self._together(changes)))

    def _one_is_enough(self) -> bool:
        """Whether the change about the largest part of the peak makes it fit; not simulated where that is unlikely."""
        first = max(self._candidates, key=lambda one: about(self._parts, one.of), default=None)
        if first is None or about(self._parts, first.of) < self._missing * LIKELY:
            return False
        peaks = self._peaks([first])
        return peaks is not None and peaks.fits

    @property
    def _available(self) -> int:
        return self._now.usable - self._now.context

    def _loaded(self, changes: Sequence[Candidate]) -> int:
        """Bytes of the base weights after these changes: they are there from loading to the end, and soon simulated.

        As they are now where that is little enough: no change makes them more.
        """
        if self._least([]) <= self._available or not any(
            "weights" in one.of or "constants" in one.of for one in changes
        ):
            return self._least([])
        try:
            return self._simulator.loaded(self._together_as(changes))
        except (CannotSimulateError, ContradictionError):
            return self._least(changes)

    def _least(self, changes: Sequence[Candidate]) -> int:
        """Bytes that base weights take at the least after these changes; they are there from loading to the end.

        A 4-bit weight takes an eighth of a float32 one, a 16-bit one half; constants may go altogether.
        """
        weights, constants = self._parts.get("weights", 0), self._parts.get("constants", 0)
        words = {name for one in changes for name in one.settings}
        if "scheme" in words:
            return weights // 8
        if words & {"prepare_kbit", "dtype"}:
            return weights // 2
        return weights if "double_quant" in words else weights + constants

    def _alone(self) -> list[tuple[Candidate, Peaks]]:
        """Every candidate that could by itself close much of the gap, and when simulated does close some of it."""
        found: list[tuple[Candidate, Peaks]] = []
        for one in self._candidates:
            if not could_close(self._parts, one.of, self._missing, ALONE) or self._least([one]) > self._available:
                continue
            if "batch_size" in one.settings and any(p.fits and "batch_size" in o.settings for o, p in found):
                continue  # the larger batch fits already, and takes less time
            peaks = self._peaks([one])
            if peaks is not None and (peaks.fits or (self._now.process - peaks.process) * MATTERS >= self._missing):
                found.append((one, peaks))
        return found

    def _together(self, alone: Sequence[tuple[Candidate, Peaks]]) -> list[Change]:
        """What costs nothing, then what saves most, until it fits; then what turned out needless is taken back."""
        # What was not tried alone could close little of the gap: it saves less than anything that was.
        saved = {id(one): self._now.process - peaks.process for one, peaks in alone}
        order = sorted(
            (one for one in self._candidates if not one.alone),
            key=lambda one: (not one.free, 0 if one.free else -saved.get(id(one), 0)),
        )
        taken: list[Candidate] = []
        for one in order:
            taken.append(one)
            peaks = self._peaks(taken)
            if peaks is None:
                taken.pop()
            elif peaks.fits:
                break
        else:
            return []
        # Not the last: without it the others did not fit.
        for one in taken[:-1]:
            rest = [other for other in taken if other is not one]
            replayed = set(one.settings) == {"expandable_segments"}  # needs no trace of its own
            # What costs nothing may stay: to leave it out would gain nobody anything, and take a trace.
            peaks = self._peaks(rest) if replayed or not one.free else None
            if peaks is not None and peaks.fits:
                taken = rest
        steps = [(taken[: count + 1], self._peaks(taken[: count + 1])) for count in range(len(taken))]
        return [self._change(some[-1:], peaks) for some, peaks in steps if peaks is not None]

    def _together_as(self, changes: Sequence[Candidate]) -> FinetuneSettings:
        """The settings with all of these. Raises ContradictionError when they contradict each other."""
        settings: dict[str, Any] = {}
        for change in changes:
            # Of all changes together, half a batch and a batch of one are both: the later, smaller one counts.
            settings.update(change.settings)
        return self._simulator.changed(self._settings, **settings)

    def _peaks(self, changes: Sequence[Candidate]) -> Peaks | None:
        """What all of these take, None when that cannot be simulated or contradicts itself."""
        try:
            return self._simulator.peaks(self._together_as(changes))
        # A change that this model or these settings do not allow is no help, and no reason to stop.
        except (CannotSimulateError, ContradictionError):
            return None

    def _change(self, changes: Sequence[Candidate], peaks: Peaks) -> Change:
        settings: dict[str, Any] = {}
        for change in changes:
            settings.update(change.settings)
        what, cost = ("; ".join(text) for text in zip(*((one.what, one.cost) for one in changes), strict=True))
        return Change(what, cost, tuple(settings.items()), peaks)
