"""Changes tried, each by a run of its own: those that help are kept, then some together until it fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.simulate.script.overrides import Override

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from inspector.simulate.on_card import Peaks
    from inspector.simulate.script.advice.change import ScriptChange

MOST_RUNS = 12
"""A run takes half a minute: who waits longer than this would have tried by hand."""

_MATTERS = 20
"""A change is tried where what it is about is over a twentieth of the peak, and kept where it saves a hundredth."""
_SAVES = 100


@dataclass(frozen=True, slots=True)
class Tried:
    """A change, or several together, and what the script takes with it on the card."""

    changes: tuple[ScriptChange, ...]
    peaks: Peaks


@dataclass(frozen=True, slots=True)
class ScriptAdvice:
    """What helps a script that does not fit.

    Attributes:
        alone: single changes that save memory, those that fit first, then by what they leave.
        together: the least of them that fit together, where none fits alone; None where none do.
        smallest: where nothing fits, what is smallest of all that was tried.
        runs: how many runs it took.
    """

    alone: tuple[Tried, ...] = ()
    together: Tried | None = None
    smallest: Tried | None = None
    runs: int = 0


def advise(
    now: Peaks, alive: Mapping[str, int], changes: Sequence[ScriptChange], again: Callable[[Override], Peaks | None]
) -> ScriptAdvice:
    """Try changes.

    Args:
        now: what the script takes, which does not fit.
        alive: bytes alive at the peak by their kind.
        changes: `candidates`, cheapest first.
        again: runs the script with something changed; None, or an InspectorError, where it does not come to its end.
    """
    trying = _Trying(now, again)
    whole = sum(alive.values()) or 1
    worth = [
        change
        for change in changes
        # What is held and not used is the allocator's, and no kind of what is alive.
        if sum(alive.get(str(kind), 0) for kind in change.of) * _MATTERS > whole
        or (not change.of and (now.reserved - now.allocated) * _MATTERS > now.reserved)
    ]
    # What is about most of the peak first: there are more changes than runs.
    worth.sort(key=lambda change: -sum(alive.get(str(kind), 0) for kind in change.of))
    alone: list[Tried] = []
    for change in worth:
        if any(one.peaks.fits and one.changes[0].same_as == change.same_as for one in alone):
            continue  # the cheaper of its like fits already
        if trying.runs >= MOST_RUNS // 2:
            break
        peaks = trying.peaks((change,))
        if peaks is not None and (peaks.fits or (now.process - peaks.process) * _SAVES > now.process):
            alone.append(Tried((change,), peaks))
    alone.sort(key=lambda one: (not one.peaks.fits, one.peaks.process))
    if any(one.peaks.fits for one in alone) or not alone:
        return ScriptAdvice(tuple(alone), runs=trying.runs)
    together, smallest = _together(alone, trying)
    return ScriptAdvice(tuple(alone), together, None if together else smallest, trying.runs)


class _Trying:
    def __init__(self, now: Peaks, again: Callable[[Override], Peaks | None]) -> None:
        self._again = again
        self.runs = 0

    def peaks(self, changes: Sequence[ScriptChange]) -> Peaks | None:
        override = Override()
        for change in changes:
            override = override.and_also(change.override)
        self.runs += 1
        try:
            return self._again(override)
        # A change that this script does not allow is no help, and no reason to stop.
        except InspectorError:
            return None


def _together(alone: Sequence[Tried], trying: _Trying) -> tuple[Tried | None, Tried]:
    """What saves most first, one of each kind, until it fits."""
    taken: list[ScriptChange] = []
    smallest = alone[0]
    for one in alone:
        change = one.changes[0]
        if any(change.same_as == other.same_as for other in taken):
            continue
        taken.append(change)
        if len(taken) == 1:
            continue  # tried alone
        if trying.runs >= MOST_RUNS:
            break
        peaks = trying.peaks(taken)
        if peaks is None:
            taken.pop()
            continue
        tried = Tried(tuple(taken), peaks)
        if peaks.process < smallest.peaks.process:
            smallest = tried
        if peaks.fits:
            return tried, tried
    return None, smallest
