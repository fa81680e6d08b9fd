"""7: a question alone: which of two adapters is larger, the one of twice the rank or the one on more modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.render.deck.slide import Numbers, Option, Quiz, Slide, finding, notes
from inspector.units import MB, count

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts
    from inspector.lora import LoraRow

EVERY = "all-linear"


def make(lesson: Lesson, say: Texts) -> Slide | None:
    """Twice the rank on the usual modules against every linear layer; None where the usual ones are all there are."""
    rank = lesson.adapters.r
    few, many = _row(lesson, lesson.usual.name, rank), _row(lesson, EVERY, rank // 2)
    if few is None or many is None or few.modules == many.modules:
        return None
    sizes = [row.trainable_parameters for row in (few, many)]
    right = 2 if sizes[0] == sizes[1] else sizes.index(max(sizes))
    numbers = [f"{say.short(row.trainable_parameters)}, {say.mb(row.weight_bytes)}" for row in (few, many)]
    values = {
        "r": rank, "half": rank // 2, "usual": say.target(lesson.usual.name), "few": numbers[0], "many": numbers[1],
        "few_modules": few.modules, "many_modules": many.modules,
    }  # fmt: skip
    texts = (*(say(f"larger.option_{key}", **values) for key in ("few", "many")), say("larger.option_same"))
    slips = [say(f"larger.slips.{key}", **values) for key in ("few", "many", "same")]
    options = [
        Option(text, number, at == right, "" if at == right else slip)
        for at, (text, number, slip) in enumerate(zip(texts, (*numbers, ""), slips, strict=True))
    ]
    arithmetic = tuple(
        say("larger.line", r=row.r, sum=say.written(count(row.trainable_parameters // row.r)),
            parameters=say.written(count(row.trainable_parameters)))
        for row in (few, many)
    )  # fmt: skip
    rows = tuple(
        (text, str(row.modules),
         f"{say.written(count(row.trainable_parameters))} ({say.short(row.trainable_parameters)})",
         say.number(row.weight_bytes / MB))
        for text, row in zip(texts, (few, many), strict=False)
    )  # fmt: skip
    question = say("larger.title")
    return Slide(
        "larger",
        finding(question),
        notes(say, "larger", arithmetic, **values),
        (Numbers(question, say.lines("larger.columns"), rows),),
        "L",
        command=f"inspector lora {lesson.model} --r {rank // 2} --target-modules all-linear",
        quiz=Quiz(question, tuple(options), say("larger.why", line=arithmetic[1])),
        only_quiz=True,
    )


def _row(lesson: Lesson, name: str, rank: int) -> LoraRow | None:
    return next((row for row in lesson.lora.rows if row.target_set == name and row.r == rank), None)
