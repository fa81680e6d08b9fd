"""For the cut that compares: base models side by side as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.lesson.one_model import spoken
from inspector.render.deck.slide import Numbers, Slide, finding, notes
from inspector.render.deck.slides.models import variant
from inspector.units import MB, count

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts

MOST = 5
"""Models that have room beside each other."""


def make(lesson: Lesson, say: Texts) -> Slide:
    """Sizes, vocabulary, context and adapters; the model that is least in 4 bits is the finding."""
    found = lesson.comparison
    rows, four = found.rows, found.schemes.index("nf4-dq")
    least = min(rows, key=lambda row: row.schemes[four].footprint_bytes)
    lines = [
        (say("choosing.parameters"), *(say.short(row.parameters) for row in rows)),
        *(
            (f"{name}, MB", *(say.number(row.schemes[at].footprint_bytes / MB) for row in rows))
            for at, name in enumerate(found.schemes)
        ),
        (say("choosing.quantized"),
         *(say.share(row.schemes[four].quantized_parameters, row.parameters, 1) for row in rows)),
        (say("choosing.bits"), *(say.number(row.schemes[four].bits_per_parameter, 2) for row in rows)),
        (say("choosing.vocabulary"), *(say.written(count(row.vocab_size)) for row in rows)),
        (say("choosing.context"), *(say.written(count(row.context_length)) for row in rows)),
        (say("choosing.adapters", r=found.rank),
         *(say.number(row.adapters.weight_bytes / MB, 1) if row.adapters else "" for row in rows)),
        (say("choosing.same"), *map(variant, rows)),
    ]  # fmt: skip
    if any(row.stored for row in rows):
        stored = (say("choosing.stored"), *(row.stored or say("choosing.plain") for row in rows))
        lines.insert(1 + len(found.schemes), stored)
    names = ("", *(spoken(row.model) for row in rows))
    values = {"least": spoken(least.model), "size": say.size(least.schemes[four].footprint_bytes)}
    size = (say("choosing.least"), *(values["size"] if row is least else "" for row in rows))
    return Slide(
        "choosing",
        finding(say("choosing.title", **values), say("choosing.title_short")),
        notes(say, "choosing", tuple(found.assumptions), **values),
        (Numbers(say("choosing.table"), names, (*lines, size)),),
        "W",
        (values["size"], say("choosing.remember", **values)),
        f"inspector compare {' '.join(row.model for row in rows)}",
        {"names": names[: MOST + 1], "lines": [line[: MOST + 1] for line in lines]},
    )
