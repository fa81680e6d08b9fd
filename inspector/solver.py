"""The largest batch, length and rank that fit a card: found by simulating, with as few simulations as it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.fit import Outcome, Simulator
    from inspector.simulate.setup import TrainSetup


@dataclass(frozen=True, slots=True)
class _Axis:
    """A setting to enlarge, in steps, up to a limit."""

    name: str
    step: int
    most: int


AXES = (_Axis("batch_size", 1, 2**16), _Axis("seq_len", 32, 2**20), _Axis("r", 4, 2**12))


def largest_settings(simulator: Simulator, setup: TrainSetup) -> tuple[tuple[str, int], ...]:
    """The largest value of each setting that fits while the others stay; 0 when not even the smallest does."""
    found = []
    for axis in AXES:
        if axis.name == "r" and setup.method == "full":
            continue

        def outcome(steps: int, axis: _Axis = axis) -> Outcome:
            return simulator.outcome(simulator.changed(setup, **{axis.name: steps * axis.step}))

        start = max(getattr(setup, axis.name) // axis.step, 1)
        found.append((axis.name, largest(outcome, start, axis.most // axis.step) * axis.step))
    return tuple(found)


def largest(outcome: Callable[[int], Outcome], start: int, most: int) -> int:
    """The largest number from 1 to ``most`` whose outcome fits, 0 if none does.

    Memory grows nearly in proportion, so the next number tried is where the line through the last two margins meets
    zero; the answer is a number that fits whose successor does not. Both were simulated.
    """
    low, high = 0, most + 1
    margins: dict[int, int] = {}
    guess = min(start, most)
    while high - low > 1:
        result = outcome(guess)
        margins[guess] = result.margin_bytes
        low, high = (guess, high) if result.fits else (low, guess)
        guess = _next(margins, low, high, most)
    return low


def _next(margins: dict[int, int], low: int, high: int, most: int) -> int:
    """Where to look: on the line through the two numbers next to the border, kept strictly between them."""
    if high > most and low:
        known = sorted(margins)
        ahead = low * 2
        if len(known) > 1 and (meeting := _meets_zero(margins, known[-2], known[-1])) is not None:
            ahead = meeting + 1
        return max(low + 1, min(ahead, most))
    if not low:
        known = sorted(margins)
        meeting = _meets_zero(margins, known[0], known[1]) if len(known) > 1 else None
        return max(1, min(meeting if meeting is not None else high // 2, high - 1))
    meeting = _meets_zero(margins, low, high)
    guess = (low + high) // 2 if meeting is None else meeting
    return max(low + 1, min(guess, high - 1))


def _meets_zero(margins: dict[int, int], first: int, second: int) -> int | None:
    """Largest whole number at which the line through two margins is not negative; None when it does not fall."""
    fall = margins[first] - margins[second]
    if fall <= 0:
        return None
    return first + margins[first] * (second - first) // fall
