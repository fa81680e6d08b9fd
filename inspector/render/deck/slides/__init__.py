"""The slides, one file each; how one is added is told in `inspector.render.deck.slide`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from inspector.render.deck.slides import (
    answers,
    before,
    choices,
    choosing,
    difference,
    film,
    larger,
    levels,
    lora,
    methods,
    model,
    models,
    question,
    rank,
    rungs,
    sizes,
    targets,
    training,
    trust,
    waterfall,
    ways,
    what_if,
)
from inspector.render.deck.stories import STORIES, WITHOUT_RUNS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts
    from inspector.render.deck.slide import Slide

MAKERS: Mapping[str, Callable[[Lesson, Texts], Slide | None]] = {
    "answers": answers.make,
    "rank": rank.make,
    "lora": lora.make,
    "what-if": what_if.make,
    "film": film.make,
    "levels": levels.make,
    "rungs": rungs.make,
    "choices": choices.make,
    "before": before.make,
    "choosing": choosing.make,
    "difference": difference.make,
    "larger": larger.make,
    "methods": methods.make,
    "model": model.make,
    "models": models.make,
    "question": question.make,
    "sizes": sizes.make,
    "targets": targets.make,
    "training": training.make,
    "trust": trust.make,
    "waterfall": waterfall.make,
    "ways": ways.make,
}
"""How each slide is made, by the name that `stories` calls it."""


def told(lesson: Lesson, say: Texts, *, story: str, command: str = "inspector report") -> tuple[Slide, ...]:
    """The slides of a story in order, those left out that the lesson has no numbers for."""
    names = STORIES[story]
    if lesson.training is None:
        names = tuple(other for name in names if (other := WITHOUT_RUNS.get(name, name)))
    made = [found for name in names if name in MAKERS and (found := MAKERS[name](lesson, say)) is not None]
    # The last slide keeps the line that makes the same page: who was given the file alone can make it again.
    return (*made[:-1], replace(made[-1], command=command))
