"""10: where the rungs of nf4 and int4 lie among normal weights, and the error by the size of a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.lesson.levels import BINS, BLOCK
from inspector.lesson.rungs import SCHEMES, rungs
from inspector.render.deck.slide import Numbers, Slide, finding, notes
from inspector.units import count

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.rungs import Errors
    from inspector.lesson.texts import Texts

WIDE, TALL = 540, 250
"""Pixels of the histogram; the error lines have as much."""
BITS_OF_SCALE = 32


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """The errors of one scheme as points, and its name where the line ends."""

    scheme: str
    points: tuple[tuple[float, float], ...]
    dash: str


def make(lesson: Lesson, say: Texts) -> Slide:
    """Histogram with both ladders; error lines with a marker on a block size."""
    found, errors = lesson.levels, rungs().errors
    highest = max(found.histogram)
    top = _top(errors)
    small, large = errors.sizes[0], errors.sizes[-1]
    values: dict[str, Any] = {
        "weights": say.number(errors.weights),
        "nf4": _percent(errors.of("nf4", BLOCK), say),
        "int4": _percent(errors.of("int4", BLOCK), say),
        "fp4": _percent(errors.of("fp4", BLOCK), say),
        "nf4_large": _percent(errors.of("nf4", large), say),
        "int4_large": _percent(errors.of("int4", large), say),
        "block": BLOCK,
        "small": small,
        "large": say.number(large),
        "drawn": say.number(found.weights),
        "bits": say.number(4 + BITS_OF_SCALE / BLOCK, 1),
        "seed": errors.seed,
    }
    bar = WIDE / BINS
    return Slide(
        "levels",
        finding(say("levels.title"), say("levels.title_short")),
        notes(say, "levels", say.lines("levels.arithmetic", **values), **values),
        (_errors(errors, say), _levels(say), _versions(errors, say)),
        "M",
        (values["nf4"], say("levels.remember", **values)),
        "",
        {
            "bars": [
                (n * bar, TALL * (1 - height / highest), bar, TALL * height / highest)
                for n, height in enumerate(found.histogram)
            ],
            "ladders": [
                (scheme, [(level + 1) / 2 * WIDE for level in sorted(rungs().of(scheme))]) for scheme in ("nf4", "int4")
            ],
            "lines": [
                ErrorLine(
                    scheme,
                    tuple(
                        (_x(n, errors), TALL * (1 - error / top))
                        for n, error in enumerate(dict(errors.schemes)[scheme])
                    ),
                    dash,
                )
                for scheme, dash in zip(SCHEMES, ("", "12 6", "3 5"), strict=True)
            ],
            "ticks": [
                (_x(n, errors), say.number(size))
                for n, size in enumerate(errors.sizes)
                if size in {small, BLOCK, 256, 1024, large}
            ],
            "at": _x(errors.sizes.index(BLOCK), errors),
            "wide": WIDE,
            "tall": TALL,
            "sizes": errors.sizes,
            "block": BLOCK,
            "alt": say("levels.alt", **values),
            "alt_errors": say("levels.alt_errors", **values),
            "told": say("levels.told", **values),
            "spikes": say("levels.spikes"),
            "fact": say("levels.fact", **values),
        },
        {
            "sizes": list(errors.sizes),
            "x": [_x(n, errors) for n in range(len(errors.sizes))],
            # As they are written: the page adds no digits of its own.
            "told": [
                say(
                    "levels.told",
                    block=say.number(size),
                    bits=say.number(
                        4 + BITS_OF_SCALE / size, 2 if BITS_OF_SCALE / size < 0.1 else 1 if size <= 64 else 2
                    ),
                    **{scheme: _percent(errors.of(scheme, size), say) for scheme in SCHEMES},
                )
                for size in errors.sizes
            ],
            "start": errors.sizes.index(BLOCK),
        },
    )


def _percent(error: float, say: Texts) -> str:
    return f"{say.number(100 * error, 1)}%"


def _top(errors: Errors) -> float:
    return max(max(line) for _, line in errors.schemes) * 1.08


def _x(number: int, errors: Errors) -> float:
    return 30 + number * (WIDE - 110) / (len(errors.sizes) - 1)


def _errors(errors: Errors, say: Texts) -> Numbers:
    rows = tuple(
        (
            say.number(size),
            say.number(4 + BITS_OF_SCALE / size, 3),
            *(_percent(errors.of(scheme, size), say) for scheme in SCHEMES),
        )
        for size in errors.sizes
    )
    return Numbers(say("levels.table"), (say("levels.size"), say("levels.width"), *SCHEMES), rows)


def _levels(say: Texts) -> Numbers:
    lines = {scheme: sorted(rungs().of(scheme)) for scheme in SCHEMES}
    rows = tuple((str(n + 1), *(say.number(lines[scheme][n], 4) for scheme in SCHEMES)) for n in range(16))
    return Numbers(say("rungs.ladders"), ("", *SCHEMES), rows)


def _versions(errors: Errors, say: Texts) -> Numbers:
    rows = (
        (say("levels.drawn"), say.written(count(errors.weights))),
        (say("levels.seed"), str(errors.seed)),
        *errors.versions,
    )
    return Numbers(say("levels.made"), ("", ""), rows)
