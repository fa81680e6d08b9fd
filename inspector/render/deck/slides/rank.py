"""5: rank in the hand: a picture rebuilt from so many columns times rows; beside it what that keeps, of what."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from inspector.lesson.rank_picture import picture
from inspector.render.deck.slide import Numbers, Option, Quiz, Slide, finding, notes
from inspector.render.deck.slides.lora import example
from inspector.render.unfilled import unfilled
from inspector.units import count

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.rank_picture import RankPicture
    from inspector.lesson.texts import Texts
    from inspector.render.deck.slides.lora import Example

CELL = 18
"""Pixels of a pixel."""
START = 3
MULTIPLES = (1, 2, 4, 8, 16)
"""Ranks that paper shows."""


def make(lesson: Lesson, say: Texts) -> Slide:
    """The slider from one piece to as many as the picture has sides."""
    found, shape = picture(), example(lesson)
    side = found.side
    even = _even(shape)
    values = {
        "r": START,
        "side": side,
        "kept": START * 2 * side,
        "of": side * side,
        "share": say.share(START * 2 * side, side * side),
        "module": shape.name,
        "rank": shape.r,
        "inputs": say.number(shape.inputs),
        "outputs": say.number(shape.outputs),
        "adapter": say.number(shape.adapter),
        "whole": say.number(shape.whole),
        "part": say.share(shape.adapter, shape.whole, 1),
        "even": say.number(even),
        "true": found.rank,
    }
    return Slide(
        "rank",
        finding(say("rank.title")),
        notes(say, "rank", say.lines("rank.arithmetic", **values), **values),
        (_pieces(found, say), _ranks(shape, say)),
        "L",
        (say("rank.even", **values), say("rank.remember", **values)),
        "",
        {
            "original": _grey([[float(pixel) for pixel in row] for row in found.pixels]),
            "rebuilt": _grey(found.rebuilt(START)),
            "multiples": [(r, _grey(found.rebuilt(r)), _kept(r, side, say)) for r in MULTIPLES],
            "cell": CELL,
            "side": side,
            "start": START,
            "kept": _kept(START, side, say),
            "module": say("rank.module", **values),
            "alt": say("rank.alt", **values),
        },
        {
            "columns": [list(column) for column, _ in found.pieces],
            "rows": [list(row) for _, row in found.pieces],
            "told": [_kept(r, side, say) for r in range(1, side + 1)],
            "says": {"r": unfilled(say, "rank.slider", "r")},
        },
        quiz=_quiz(shape, say),
    )


def _grey(rows: list[list[float]] | tuple[tuple[float, ...], ...]) -> list[list[float]]:
    """How dark each pixel is, 0 to 1: a sum of pieces may go beyond."""
    return [[round(min(max(value, 0.0), 1.0), 2) for value in row] for row in rows]


def _kept(r: int, side: int, say: Texts) -> str:
    kept, whole = r * 2 * side, side * side
    return say("rank.kept", r=r, side=side, kept=kept, of=whole, share=say.share(kept, whole))


def _even(shape: Example) -> int:
    """The rank from which two strips have as many numbers as the matrix."""
    return ceil(shape.whole / (shape.inputs + shape.outputs))


def _pieces(found: RankPicture, say: Texts) -> Numbers:
    side = found.side
    rows = []
    for r in range(1, side + 1):
        off = sum(
            (made - pixel) ** 2
            for line, pixels in zip(found.rebuilt(r), found.pixels, strict=True)
            for made, pixel in zip(line, pixels, strict=True)
        )
        whole = sum(map(sum, found.pixels))
        rows.append(
            (str(r), str(r * 2 * side), say.share(r * 2 * side, side * side), f"{100 * (off / whole) ** 0.5:.0f}%")
        )
    return Numbers(say("rank.table", side=side), say.lines("rank.columns"), tuple(rows))


def _ranks(shape: Example, say: Texts) -> Numbers:
    ranks = sorted({8, 16, 32, 64, 128, shape.r, _even(shape)})
    rows = tuple(
        (
            f"r = {say.number(r)}",
            say.written(count(r * (shape.inputs + shape.outputs))),
            say.share(r * (shape.inputs + shape.outputs), shape.whole, 1),
        )
        for r in ranks
    )
    return Numbers(say("rank.of_module", module=shape.name), say.lines("rank.module_columns"), rows)


def _quiz(shape: Example, say: Texts) -> Quiz:
    """From which rank the strips cost more: the slips are the matrix's side, a sum counted twice, and a usual rank."""
    right = _even(shape)
    slips = {min(shape.inputs, shape.outputs): "side", max(right // 2, 1): "twice", shape.r: "usual"}
    slips.pop(right, None)
    both = shape.inputs + shape.outputs
    values = {"module": shape.name, "inputs": say.number(shape.inputs), "outputs": say.number(shape.outputs)}
    options = tuple(
        Option(
            f"r = {say.number(r)}",
            say("rank.number", numbers=say.short(r * both)),
            r == right,
            "" if r == right else say(f"rank.slips.{slips[r]}"),
        )
        for r in sorted({*slips, right})
    )
    why = say("rank.why", **values, whole=say.number(shape.whole), both=say.number(both), even=say.number(right))
    return Quiz(say("rank.question", **values), options, why)
