"""In the place of all slides about training where no dry run ships: what is kept before the first batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.memory_kinds import MemoryKind
from inspector.render.deck.bars import kind_piece, stacked
from inspector.render.deck.slide import Numbers, Slide, finding, notes
from inspector.skeleton import DTYPE_BYTES
from inspector.units import count

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts

KEPT = (MemoryKind.BASE_WEIGHTS, MemoryKind.ADAPTERS, MemoryKind.GRADIENTS, MemoryKind.OPTIMIZER_STATE)


def make(lesson: Lesson, say: Texts) -> Slide:
    """Weights, adapters, gradients and Adam's moments of each method, in the model's own dtype."""
    dtype = lesson.skeleton.facts.dtype or "float32"
    width = DTYPE_BYTES.get(dtype, 4)
    columns = _columns(lesson, width)
    sizes = [sum(column[1]) for column in columns]
    longest = max(sizes, default=0)
    bars = [
        (say(f"methods.names.{name}"),
         [kind_piece(kind, nbytes, say(f"kinds.{kind.name.lower()}"))
          for kind, nbytes in zip(KEPT, kept, strict=True) if nbytes],
         say.like(sum(kept), longest))
        for name, kept in columns
    ]  # fmt: skip
    told = "; ".join(f"{name} {total}" for name, _, total in bars)
    values = {"dtype": dtype, "first": bars[0][2] if bars else "", "last": bars[-1][2] if bars else ""}
    title = say("before.title") if columns else say("before.title_none")
    rows = tuple(
        (
            say(f"kinds.{kind.name.lower()}"),
            *(f"{say.written(count(kept[at]))} ({say.size(kept[at])})" for _, kept in columns),
        )
        for at, kind in enumerate(KEPT)
    )
    names = tuple(say(f"methods.names.{name}") for name, _ in columns)
    whole = (say("words.all"), *(f"{say.written(count(size))} ({say.size(size)})" for size in sizes))
    stored = lesson.stored
    trained = say("before.stored", title=stored.trained or stored.title) if stored else ""
    arithmetic = say.lines(
        "before.arithmetic", parameters=say.written(count(lesson.skeleton.num_parameters)), width=width, dtype=dtype,
        trainable=say.written(count(lesson.adapters.trainable_parameters)),
    )  # fmt: skip
    return Slide(
        "before",
        finding(title),
        notes(say, "before", (*arithmetic, *((trained,) if trained else ())), **values),
        (Numbers(say("before.table"), (say("words.kind"), *names), (*rows, whole) if columns else ()),),
        "W",
        (values["last"], say("before.remember" if len(columns) > 1 else "before.remember_one", **values))
        if columns
        else ("", ""),
        f"inspector report {lesson.model} --dry-run",
        {
            "stacks": stacked(bars, say, end=round(longest * 1.2) or 1, alt=say("before.alt", told=told)),
            "fact": trained if stored else say("before.fact"),
            "none": say("before.none", title=stored.title) if stored and not columns else "",
        },
    )


def _columns(lesson: Lesson, width: int) -> list[tuple[str, tuple[int, int, int, int]]]:
    """Bytes of each kind by method, the most first; of a quantized checkpoint LoRA on what it trains on, or none."""
    row, total = lesson.adapters, lesson.skeleton.num_parameters
    adapters = row.weight_bytes, row.gradient_bytes, row.adam_bytes
    if lesson.stored:
        return [("lora", (lesson.stored.trained_bytes, *adapters))] if lesson.stored.trained else []
    plain = lesson.scheme("fp32" if width == 4 else "bf16").tensor_bytes
    return [
        ("full", (plain, 0, width * total, 2 * width * total)),
        ("lora", (plain, *adapters)),
        ("qlora", (lesson.scheme("nf4-dq").tensor_bytes, *adapters)),
    ]
