"""12: the course's bars, with 16 bits among them, and why four bits are not a quarter of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.render.charts.base import two_lines, whole_mb
from inspector.render.charts.sizes import ROOM, alt_of, sizes
from inspector.render.deck.quizzes import distinct
from inspector.render.deck.slide import Numbers, Option, Quiz, Slide, finding, notes
from inspector.units import GB, MB, GiB, count

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts
    from inspector.lora import LoraRow
    from inspector.render.charts.base import Chart


def make(lesson: Lesson, say: Texts) -> Slide:
    """What ``get_memory_footprint()`` prints at each precision, and the adapters beside it."""
    four, published = lesson.scheme("nf4-dq"), lesson.scheme("bf16")
    made = sizes(lesson, say)
    values = {
        "printed": say.size(four.footprint_bytes), "naive": say.size(four.naive_bytes),
        "times": say.number(published.footprint_bytes / four.footprint_bytes, 1),
        "title": lesson.stored.title if lesson.stored else "",
    }  # fmt: skip
    titles = [say("sizes.title", **values), say("sizes.title_short", **values)]
    if values["printed"] == values["naive"]:
        titles = [say("sizes.title_equal", **values)]
    if lesson.stored:
        titles = [say("sizes.title_stored", **values), say("sizes.title_stored_short")]
    adapters = lesson.adapters
    arithmetic = tuple(
        say("sizes.line", label=row[0], bytes=row[2], mb=row[1]) for row in made.rows[:-1]
    ) + say.lines(
        "sizes.adapters_line", parameters=say.written(count(adapters.trainable_parameters)), r=adapters.r,
        bytes=say.written(count(adapters.weight_bytes)), targets=", ".join(adapters.target_modules),
    )  # fmt: skip
    rows = ((*made.rows[-1],), (say("sizes.naive"), say.mb(four.naive_bytes), say.size(four.naive_bytes)),
            (say("sizes.saving"), values["times"], values["printed"]))  # fmt: skip
    sets = {lesson.usual.name, "all-linear"}
    others = [row for row in lesson.lora.rows if row.target_set in sets and row != adapters]
    return Slide(
        "sizes",
        finding(*titles),
        notes(say, "sizes", arithmetic, **values),
        (
            Numbers(made.title, made.columns, (*made.rows[:-1], *rows)),
            Numbers(
                say("sizes.adapters"), say.lines("sizes.columns"), tuple(_adapters(row, lesson, say) for row in others)
            ),
        ),
        "W",
        (say.mb(four.footprint_bytes, 0 if four.footprint_bytes >= 10 * MB else 1), say("sizes.remember", **values)),
        f"inspector memory {lesson.model} --bits 4",
        {"fact": say("sizes.unquantized") if lesson.stored else ""},
        {
            "r": adapters.r,
            "targets": lesson.usual.name,
            "followed": {f"{row.r}.{row.target_set}": _bar(row, made, lesson, say) for row in (adapters, *others)},
        },
        charts=(made,),
        quiz=None if lesson.stored else _quiz(lesson, say),
    )


def _adapters(row: LoraRow, lesson: Lesson, say: Texts) -> tuple[str, str, str]:
    """The adapters of a rank on a set of targets: what their bar is called, whole megabytes, bytes."""
    key = "adapters" if row.target_set == lesson.usual.name else "adapters_on"
    name = say(f"sizes.bars.{key}", r=row.r, targets=row.target_set)
    return name, say.written(whole_mb(row.weight_bytes)), say.written(count(row.weight_bytes))


def _bar(row: LoraRow, made: Chart, lesson: Lesson, say: Texts) -> dict[str, object]:
    """The last bar where these are the adapters, and the chart in words."""
    name, text, _ = _adapters(row, lesson, say)
    stay = [*made.rows[:-1], (name, text)]
    alt = alt_of([other[0] for other in stay], [other[1] for other in stay])
    return {"label": two_lines(name, ROOM), "mb": row.weight_bytes / MB, "text": text, "alt": alt}


def _quiz(lesson: Lesson, say: Texts) -> Quiz | None:
    """Half a byte each; a table forgotten; what four bits already counted forgotten; GiB for GB."""
    four, skeleton = lesson.scheme("nf4-dq"), lesson.skeleton
    found = {part: sum(
        tensor.numel for tensor in skeleton.own_tensors
        if tensor.is_parameter and skeleton.module_of(tensor).part == part
    ) for part in ("embedding", "head")}  # fmt: skip
    naive, printed = four.naive_bytes, four.footprint_bytes
    wrong = [
        (naive, say("sizes.slips.naive")),
        # A number in 16 bits has a byte and a half more than four bits gave it.
        (naive + found["embedding"] * 3 // 2, say("sizes.slips.head")),
        (naive + 2 * sum(found.values()), say("sizes.slips.twice")),
        (printed * GB / GiB, say("sizes.slips.gib")),
    ]
    options = distinct((printed, ""), wrong, say.size)
    if options is None:
        return None
    why = say("sizes.why", naive=say.size(naive), printed=say.size(printed))
    return Quiz(say("sizes.quiz", model=lesson.name), tuple(Option(*option) for option in options), why)
