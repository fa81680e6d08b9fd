"""19: other base models: the way from 16 bits to 4, a line for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.lesson.one_model import spoken
from inspector.render.charts.slopes import slopes
from inspector.render.deck.quizzes import distinct
from inspector.render.deck.slide import Numbers, Option, Quiz, Slide, finding, notes
from inspector.units import count

if TYPE_CHECKING:
    from inspector.lenses.compare import CompareRow
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts


def make(lesson: Lesson, say: Texts) -> Slide | None:
    """Lines named at their ends; None where there is nothing to compare with."""
    rows = lesson.comparison.rows
    if len(rows) < 2:
        return None
    four, wide = lesson.comparison.schemes.index("nf4-dq"), lesson.comparison.schemes.index("bf16")
    made = slopes(lesson, say)
    own, largest = rows[0], max(rows, key=lambda row: row.parameters)
    smallest = min(rows, key=lambda row: row.parameters)
    low, high = (own, largest) if largest is not own else (smallest, own)
    gap = high.schemes[four].footprint_bytes - low.schemes[four].footprint_bytes
    before = high.schemes[wide].footprint_bytes - low.schemes[wide].footprint_bytes
    values = {
        "high": say.short(high.parameters), "low": say.short(low.parameters), "gap": say.size(abs(gap)),
        "before": say.size(abs(before)), "own": spoken(own.model), "largest": spoken(high.model),
    }  # fmt: skip
    titles = [say("models.title" if gap >= 0 else "models.title_less", **values), say("models.title_short")]
    table = tuple(
        (spoken(row.model), f"{say.written(count(row.parameters))} ({say.short(row.parameters)})",
         *(f"{say.written(count(size.footprint_bytes))} ({say.gb(size.footprint_bytes)})" for size in row.schemes),
         say.share(row.schemes[four].quantized_parameters, row.parameters, 1), variant(row))
        for row in rows
    )  # fmt: skip
    columns = (*say.lines("models.columns"), *lesson.comparison.schemes, *say.lines("models.last_columns"))
    gaps = (
        say("models.gap", **values),
        "",
        *("" for _ in lesson.comparison.schemes[:-2]),
        values["before"],
        values["gap"],
        "",
        "",
    )
    arithmetic = tuple(
        say("models.line", model=row.model, parameters=say.written(count(row.parameters)),
            bytes=say.written(count(row.schemes[four].footprint_bytes)))
        for row in rows
    )  # fmt: skip
    return Slide(
        "models",
        finding(*titles),
        notes(say, "models", arithmetic, **values),
        (Numbers(made.title, columns, (*table, gaps)),),
        "W",
        (say.gb(own.schemes[four].footprint_bytes), say("models.remember", **values)),
        f"inspector compare {' '.join(row.model for row in rows)}",
        charts=(made,),
        quiz=_quiz(lesson, say, four),
    )


def variant(row: CompareRow) -> str:
    """What another model of exactly the same memory is called beside this one: ``Instruct``, ``it``, ``base``."""
    if not row.variants:
        return "\N{EN DASH}"
    name, other = row.model.rpartition("/")[2], row.variants[0].rpartition("/")[2]
    return other.removeprefix(name).lstrip("-") or "base"


def _quiz(lesson: Lesson, say: Texts, four: int) -> Quiz | None:
    """How much more the next larger model takes in 4 bits than this one."""
    own, *others = lesson.comparison.rows
    larger = sorted((row for row in others if row.parameters > own.parameters), key=lambda row: row.parameters)
    if not larger:
        return None
    other = larger[0]
    more = other.parameters - own.parameters
    right = other.schemes[four].footprint_bytes - own.schemes[four].footprint_bytes
    sizes = {"half": more / 2, "sixteen": 2.0 * more, "none": 0.0, "eight": float(more)}
    wrong = [(size, say(f"models.slips.{key}")) for key, size in sizes.items()]
    options = distinct((right, ""), wrong, say.gb)
    if options is None:
        return None
    values = {"other": spoken(other.model), "own": spoken(own.model), "more": say.short(more)}
    return Quiz(say("models.quiz", **values), tuple(Option(*option) for option in options),
                say("models.why", difference=say.gb(right), naive=say.gb(more / 2), **values))  # fmt: skip
