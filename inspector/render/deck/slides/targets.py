"""8: which modules: what each choice costs, computed, and what three studies found, quoted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.lesson.quoted import TARGETS
from inspector.memory_kinds import MemoryKind
from inspector.render.deck.bars import kind_piece, stacked
from inspector.render.deck.slide import Numbers, Slide, finding, notes, placed
from inspector.units import MB, count

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts


def make(lesson: Lesson, say: Texts) -> Slide | None:
    """Attention against every linear layer; None for a model without such two sets."""
    rank = lesson.adapters.r
    rows = {row.target_set: row for row in lesson.lora.rows if row.r == rank}
    few, many = rows.get(lesson.usual.name), rows.get("all-linear")
    if few is None or many is None or few.modules == many.modules:
        return None
    longest = max(few.weight_bytes, many.weight_bytes)
    bars = [
        (say.target(row.target_set), [kind_piece(MemoryKind.ADAPTERS, row.weight_bytes)], say.mb(row.weight_bytes))
        for row in (few, many)
    ]
    alt = "; ".join(f"{name} {total}" for name, _, total in bars)
    more = many.weight_bytes - few.weight_bytes
    values = {"few": say.mb(few.weight_bytes), "many": say.mb(many.weight_bytes), "more": say.mb(more), "r": rank}
    table = tuple(
        (say.target(row.target_set), str(row.modules), say.written(count(row.trainable_parameters)),
         say.number(row.weight_bytes / MB), say.written(count(row.adapter_file_bytes)))
        for row in rows.values()
    )  # fmt: skip
    quotes = tuple(
        (say(f"targets.quotes.{quote.key}"), quote.source, str(quote.year), placed(quote, say)) for quote in TARGETS
    )
    difference = (say("targets.more"), "", say.written(count(more // 4)), say.number(more / MB), "")
    return Slide(
        "targets",
        finding(say("targets.title"), say("targets.title_short")),
        notes(say, "targets", say.lines("targets.arithmetic", **values), **values),
        (
            Numbers(say("targets.table", r=rank), say.lines("targets.columns"), (*table, difference)),
            Numbers(say("targets.studies"), say.lines("targets.study_columns"), quotes),
        ),
        "L + P",
        (say.mb(more), say("targets.remember")),
        f"inspector lora {lesson.model} --r {rank}",
        {
            "stacks": stacked(bars, say, end=round(longest * 1.2), alt=f"{say('targets.alt')}: {alt}"),
            "quotes": [(say(f"targets.quotes.{quote.key}"), f"{quote.short} {quote.year}") for quote in TARGETS],
        },
    )
