"""The largest batch, length and rank that fit a card: found by simulating, with as few simulations as it takes.

At the border memory is jagged (segments are reused or not), so a larger value can fit again beyond one that does not:
the answer is a value that fits whose next step does not, and both were simulated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.errors import CannotSimulateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.fit.simulator import Simulator
    from inspector.simulate.on_card import Peaks
    from inspector.simulate.setup.settings import FinetuneSettings


@dataclass(frozen=True, slots=True)
class _Axis:
    """A setting to enlarge, in steps, up to a limit."""

    name: str
    step: int
    most: int


AXES = (_Axis("batch_size", 1, 2**16), _Axis("seq_len", 64, 2**20), _Axis("r", 8, 2**12))


def largest_settings(simulator: Simulator, settings: FinetuneSettings, inputs: str = "") -> tuple[tuple[str, int], ...]:
    """The largest value of each setting that fits while the others stay; 0 when not even the smallest does.

    ``inputs`` is what a micro-batch is, where it is not the tokens of a language model.
    """
    # Full fine-tuning has no adapters, and so no rank; images, and sound of a fixed window, have no length to enlarge.
    left_out = {"r"} if settings.method == "full" else set()
    if inputs and not inputs.startswith("input_ids"):
        left_out.add("seq_len")
    found = []
    for axis in AXES:
        if axis.name in left_out:
            continue

        def peaks_of(steps: int, axis: _Axis = axis) -> Peaks:
            return simulator.peaks(simulator.changed(settings, **{axis.name: steps * axis.step}))

        start = max(getattr(settings, axis.name) // axis.step, 1)
        found.append((axis.name, largest(peaks_of, start, axis.most // axis.step) * axis.step))
    return tuple(found)


def largest(peaks_of: Callable[[int], Peaks], start: int, most: int) -> int:
    """The largest number from 1 to ``most`` whose peaks fit, 0 if none does: it was simulated, and so was the next.

    Memory grows nearly in proportion, so the border is where a line through the margins of two meets zero: that of the
    reserved bytes at the earliest (cached memory can be given back), that of the allocated bytes at the latest.
    What cannot be simulated (more tokens than a model has positions) is too large. Raises CannotSimulateError when that
    is so of ``start``.
    """
    # Neither bound is simulated: they stand for none that fits, and for all.
    low, high, refused = 0, most + 1, False
    seen: dict[int, Peaks] = {}
    guess = min(start, most)
    while high - low > 1:
        try:
            seen[guess] = peaks_of(guess)
            low, high, refused = (guess, high, refused) if seen[guess].fits else (low, guess, False)
        except CannotSimulateError:
            if not seen:
                raise
            high, refused = guess, True
        # What was refused has no margin to draw a line through.
        between = (low + high) // 2 if refused else _border(seen, low, high)
        guess = max(low + 1, min(between, high - 1))
    return low


def largest_by_halving(peaks_of: Callable[[int], Peaks], start: int, most: int) -> int:
    """As `largest`, by doubling and then halving; what cannot be simulated is too large, also when it is ``start``.

    ``most`` when doubling never met one that does not fit. It takes about twice the
    simulations. Where the border is jagged, the two may end at different steps of it.
    """

    def fits(number: int) -> bool:
        try:
            return peaks_of(number).fits
        except CannotSimulateError:
            return False

    low, high = 0, start
    while high <= most and fits(high):
        low, high = high, high * 2
    if high > most:
        return most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _border(seen: dict[int, Peaks], low: int, high: int) -> int:
    """Where to look next."""
    if len(seen) == 1:
        # One point makes no line: twice as much, or half.
        return low * 2 or high // 2
    known = sorted(seen)
    near = [number for number in (low, high) if number in seen]
    first, second = near if len(near) == 2 else known[-2:] if low else known[:2]
    early = _zero(first, seen[first].margin, second, seen[second].margin)
    late = _zero(first, seen[first].allocated_margin, second, seen[second].allocated_margin)
    if high not in seen:
        return (early if early > low else late) + 1
    if not low < early < high or len(seen) % 3 == 0:  # every third time halve what is left, come what may
        return (low + min(max(late + 1, low + 1), high)) // 2 if len(seen) % 6 else (low + high) // 2
    return early


def _zero(first: int, at_first: int, second: int, at_second: int) -> int:
    """The last whole number at which the line through two margins is not negative; far away when it does not fall."""
    fall = at_first - at_second
    return first + at_first * (second - first) // fall if fall > 0 else second * 2
