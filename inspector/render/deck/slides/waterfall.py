"""13: from four bits a parameter to the true bytes, and what keeps 16 of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.render.charts.waterfall import cause, waterfall
from inspector.render.deck.slide import Numbers, Slide, finding, notes
from inspector.units import MB, count

if TYPE_CHECKING:
    from inspector.lenses.weights import Step
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts

VOCABULARY = {"the embedding", "the output head"}


def make(lesson: Lesson, say: Texts) -> Slide:
    """Five rows: what four bits would take, what keeps 16, what is printed, and the constants nobody prints."""
    report = lesson.explained
    made = waterfall(lesson, say)
    extra = report.footprint_bytes - report.naive_bytes
    share = say.share(report.quantized_parameters, report.parameters, 1)
    values = {
        "extra": say.size(extra), "share": share, "naive": say.size(report.naive_bytes),
        "true": say.size(report.tensor_bytes),
        "printed": say.size(report.footprint_bytes), "format": lesson.stored.title if lesson.stored else "nf4",
    }  # fmt: skip
    arithmetic = [
        say("waterfall.first", parameters=say.written(count(report.parameters)), bits=report.bits,
            bytes=say.written(count(report.naive_bytes))),
        *(_line(lesson, step, say) for step in report.footprint_steps),
        say("waterfall.footprint", bytes=say.written(count(report.footprint_bytes))),
        *(_line(lesson, step, say) for step in report.constant_steps),
        say("waterfall.end", bytes=say.written(count(report.tensor_bytes)),
            allocated=say.written(count(report.allocated_bytes))),
    ]  # fmt: skip
    if report.scheme == "nf4-dq":
        plain = lesson.scheme("nf4").tensor_bytes
        arithmetic.append(
            say("waterfall.plain", bytes=say.written(count(plain)), mb=say.mb(plain - report.tensor_bytes, 1))
        )
    quantized = (say("waterfall.quantized"), say.written(count(report.quantized_parameters)), share)
    step = (say("waterfall.step"), say.written(f"{extra:+,}"), say.size(extra))
    return Slide(
        "waterfall",
        finding(*_titles(report.footprint_steps, extra, values, say)),
        notes(say, "waterfall", tuple(arithmetic), **values),
        (Numbers(made.title, made.columns, (*made.rows, quantized, step)),),
        "W",
        (share, say("waterfall.remember")),
        f"inspector memory {lesson.model} --bits 4",
        charts=(made,),
    )


def _titles(steps: tuple[Step, ...], extra: int, values: dict[str, str], say: Texts) -> tuple[str, ...]:
    """What most of the difference is: the vocabulary at both ends, its one table, fused experts, or another part."""
    if extra <= 0 or not steps:
        return (say("waterfall.title_exact"),)
    # What adds less than a tenth of the difference is not what it is about.
    named = {step.cause.rpartition(" in ")[0] for step in steps if step.nbytes * 10 >= extra}
    if named == {"fused experts"}:
        return say("waterfall.title_experts", **values), say("waterfall.title_experts_short", **values)
    if named <= VOCABULARY and named:
        key = "both" if named == VOCABULARY else "one"
        return say(f"waterfall.title_{key}", **values), say("waterfall.title_short", **values)
    return say("waterfall.title_other", **values), say("waterfall.title_short", **values)


def _line(lesson: Lesson, step: Step, say: Texts) -> str:
    """One step's arithmetic: what already has its bits is counted once, so 16 bits add 12 to a parameter's four."""
    part = {"the embedding": "embedding", "the output head": "head"}.get(step.cause.rpartition(" in ")[0])
    report = lesson.explained
    if part and step.cause.endswith(("bfloat16", "float16")) and report.bits < 16:
        skeleton = lesson.skeleton
        parameters = sum(
            tensor.numel for tensor in skeleton.own_tensors
            if tensor.is_parameter and skeleton.module_of(tensor).part == part
        )  # fmt: skip
        if parameters * (16 - report.bits) // 8 == step.nbytes:
            return say(
                "waterfall.twice", cause=cause(step.cause, say), parameters=say.written(count(parameters)),
                bits=say.number(report.bits / 8, 1), more=say.number(2 - report.bits / 8, 1),
                bytes=say.written(count(step.nbytes)),
            )  # fmt: skip
    return say(
        "waterfall.line",
        cause=cause(step.cause, say),
        bytes=say.written(f"{step.nbytes:+,}"),
        mb=say.written(f"{step.nbytes / MB:+,.1f}"),
    )
