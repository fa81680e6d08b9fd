"""11: how much the weights change in four bits, measured, and what that does to answers, quoted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.lesson.quoted import LATER, MMLU, MMLU_SOURCE
from inspector.render.deck.slide import Numbers, Slide, finding, notes, placed

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts

SHOWN = ("bf16", "fp8", "int8", "nf4", "fp4")
"""Without -dq: quantizing the constants again changes no error at the digits of the slide."""
AXIS = 60.0
"""Points at the end of the axis, which begins at none."""


def make(lesson: Lesson, say: Texts) -> Slide | None:
    """Errors of the weights above, open circles of published scores below; None where no record has errors."""
    quality = lesson.quality
    if quality is None:
        return None
    errors = dict(quality.errors)
    noise = errors.get("nf4", 0.0)
    shown = [
        (name, f"{say.number(100 * errors[name], 2 if errors[name] < 0.01 else 1)}%")
        for name in SHOWN
        if name in errors
    ]
    losses = {row.scheme: row for row in lesson.lab.rows}
    lost = [(name, say.number(losses[name].loss, 2) if name in losses else "") for name, _ in shown]
    names = dict(zip((score.scheme for score in MMLU), say.lines("answers.mmlu_bases"), strict=True))
    scores = [
        {"name": names[score.scheme], "text": say.number(score.points, 1), "at": score.points / AXIS} for score in MMLU
    ]
    best, base = max(MMLU, key=lambda score: score.points), MMLU[0]
    values = {
        "noise": f"{say.number(100 * noise)}%", "model": quality.model,
        "weights": say("answers.random") if quality.weights == "random" else quality.weights,
        "small": lesson.lab.sample.model, "more": say.number(losses["nf4"].difference, 2) if "nf4" in losses else "",
        "versions": quality.versions, "base": say.number(base.points, 1), "best": say.number(best.points, 1),
    }  # fmt: skip
    rounded = (say("answers.rounded"), values["noise"])
    rows = tuple((name, f"{say.number(100 * error, 3)}%") for name, error in quality.errors)
    stage = tuple((f"{name}, {say('answers.short')}", told) for name, told in shown)
    quoted = tuple((names[score.scheme], say.number(score.points, 1)) for score in MMLU)
    source = f"{MMLU_SOURCE.source}, {MMLU_SOURCE.year}, {placed(MMLU_SOURCE, say)}"
    return Slide(
        "answers",
        finding(say("answers.title", **values), say("answers.title_short")),
        notes(say, "answers", say.lines("answers.arithmetic", **values), **values),
        (
            Numbers(say("answers.table", **values), say.lines("answers.columns"), (*rows, *stage, rounded)),
            Numbers(
                say("answers.losses", **values),
                say.lines("answers.loss_columns"),
                tuple(
                    (row.scheme, say.number(row.loss, 2), say.written(f"{row.difference:+.2f}"))
                    for row in lesson.lab.rows
                ),
            ),
            Numbers(f"{say('answers.mmlu')} ({source})", say.lines("answers.mmlu_columns"), quoted),
            Numbers(
                say("targets.studies"),
                say.lines("targets.study_columns"),
                ((say("answers.later"), LATER.source, str(LATER.year), LATER.where),),
            ),
        ),
        "M + P",
        (values["best"], say("answers.remember", **values)),
        f"inspector measure {lesson.model} --quality",
        {
            "errors": shown,
            "losses": lost,
            "small": lesson.lab.sample.model,
            "scores": scores,
            "random": quality.weights == "random",
            "source": f"{MMLU_SOURCE.short} {MMLU_SOURCE.year}, {placed(MMLU_SOURCE, say)}",
            "later": say("answers.later"),
            "study": LATER.where,
        },
    )
