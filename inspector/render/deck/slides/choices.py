"""6: the three choices of LoRA on one layer: rank, alpha, targets, and what each of them costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.lesson.one_model import RANKS
from inspector.render.deck import drawing
from inspector.render.deck.slide import Numbers, Slide, finding, notes
from inspector.render.deck.slides.lora import inside_layer
from inspector.render.deck.slides.model import tables
from inspector.render.theme import ADAPTERS, GRADIENTS, OPTIMIZER, text_on
from inspector.render.unfilled import unfilled
from inspector.units import count

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.targets import Target
    from inspector.lesson.texts import Texts

FACTORS = ("1/2", "1", "2", "4")
"""Alpha over r: what people choose."""
BYTES = 4
"""Of an adapter's parameter, of its gradient, and of each of Adam's two moments: PEFT keeps adapters in float32."""
KINDS = (("adapters", ADAPTERS, 1), ("gradients", GRADIENTS, 1), ("adam", OPTIMIZER, 2))


def make(lesson: Lesson, say: Texts) -> Slide:
    """Boxes to press, chips for r and alpha, and the three bars that follow."""
    run = drawing.usual_run(lesson.skeleton)
    layer = drawing.layer(run, say, width=600, height=380)
    targets = {target.name: target for target in lesson.targets}
    inside = inside_layer(lesson)
    row = lesson.adapters
    whole = row.weight_bytes + row.gradient_bytes + row.adam_bytes
    ends = _ends(lesson)
    values: dict[str, Any] = {
        "r": row.r,
        "alpha": 2 * row.r,
        "parameters": say.short(row.trainable_parameters),
        "share": say.share(row.trainable_parameters, lesson.skeleton.num_parameters, 2),
        "size": say.size(row.weight_bytes),
        "whole": say.size(whole),
        "usual": lesson.usual.name,
    }
    return Slide(
        "choices",
        finding(say("choices.title")),
        notes(say, "choices", _arithmetic(lesson, inside, say), **values),
        (_ranks(lesson, say), _sets(lesson, say), _targets(lesson, say), *tables(lesson, say)),
        "L",
        (values["parameters"], say("choices.remember", **values)),
        f"inspector lora {lesson.model}",
        {
            "layer": layer,
            "boxes": [_box(box, targets, inside) for box in layer.boxes],
            "ranks": RANKS,
            "factors": FACTORS,
            "r": row.r,
            "alt": say("choices.alt", targets=", ".join(sorted(_short(name) for name in inside)), **values),
            "bars": [
                {
                    "name": say(f"choices.bars.{name}"),
                    "colour": colour,
                    "ink": text_on(colour),
                    "mb": say.mb(BYTES * times * row.trainable_parameters),
                    "wide": 100 * BYTES * times * row.trainable_parameters / ends[0],
                }
                for name, colour, times in KINDS
            ],
            "whole": say("choices.whole", whole=say.size(whole), share=values["share"]),
        },
        {
            "targets": [{"name": target.name, "shapes": target.shapes} for target in lesson.targets],
            "boxes": [_box(box, targets, inside) for box in layer.boxes],
            "parameters": lesson.skeleton.num_parameters,
            "start": sorted(inside & set(targets)),
            "usual": lesson.usual.name,
            "bytes": BYTES,
            "r": row.r,
            "ends": ends,
            "times": [times for _, _, times in KINDS],
            "says": {
                "whole": unfilled(say, "choices.whole", "whole", "share"),
                "push": unfilled(say, "choices.push", "r", "alpha", "push"),
                "box": unfilled(say, "choices.box", "name", "parameters", "share"),
            },
        },
    )


def _ends(lesson: Lesson) -> tuple[int, int]:
    """Where the bars' axis ends, in bytes: at Adam's moments for the largest rank, on the usual targets and on all.

    Of these two the first that has room, so that among the usual choices twice the rank is twice the bar.
    """
    inside = inside_layer(lesson)
    usual = sum(target.parameters_per_rank for target in lesson.targets if target.name in inside)
    every = sum(target.parameters_per_rank for target in lesson.targets)
    return 2 * BYTES * RANKS[-1] * usual, 2 * BYTES * RANKS[-1] * every


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _box(box: drawing.Box, targets: dict[str, Target], inside: set[str]) -> dict[str, Any]:
    """A box of the layer; ``strip`` is the share of its area that one rank of adapters takes, 0 where none can go."""
    target = targets.get(box.path)
    strip = 0.0
    if target is not None:
        inputs, outputs, _ = target.shapes[0]
        strip = (inputs + outputs) / (inputs * outputs)
    return {
        "name": box.path,
        "x": box.x,
        "y": box.y,
        "width": box.width,
        "height": box.height,
        "strip": strip,
        "on": box.path in inside,
    }


def _ranks(lesson: Lesson, say: Texts) -> Numbers:
    rows = [row for row in lesson.lora.rows if row.target_set == lesson.usual.name]
    return Numbers(
        say("choices.by_rank", usual=lesson.usual.name),
        say.lines("choices.columns"),
        tuple((f"r = {row.r}", *_costs(row, lesson, say)) for row in rows),
    )


def _sets(lesson: Lesson, say: Texts) -> Numbers:
    rows = [row for row in lesson.lora.rows if row.r == lesson.adapters.r]
    return Numbers(
        say("choices.by_set", r=lesson.adapters.r),
        say.lines("choices.columns"),
        tuple((row.target_set, *_costs(row, lesson, say)) for row in rows),
    )


def _costs(row: Any, lesson: Lesson, say: Texts) -> tuple[str, str, str, str]:
    total = lesson.skeleton.num_parameters
    parameters = f"{say.written(count(row.trainable_parameters))} ({say.short(row.trainable_parameters)})"
    whole = row.weight_bytes + row.gradient_bytes + row.adam_bytes
    return parameters, say.share(row.trainable_parameters, total, 2), say.mb(row.weight_bytes), say.mb(whole)


def _targets(lesson: Lesson, say: Texts) -> Numbers:
    rows = tuple(
        (target.name, str(target.count), say.written(count(target.parameters_per_rank))) for target in lesson.targets
    )
    return Numbers(say("choices.targets"), say.lines("choices.target_columns"), rows)


def _arithmetic(lesson: Lesson, inside: set[str], say: Texts) -> tuple[str, ...]:
    row, lines = lesson.adapters, []
    for target in lesson.targets:
        if target.name in inside:
            inputs, outputs, number = target.shapes[0]
            values = {
                "name": _short(target.name),
                "r": row.r,
                "inputs": say.number(inputs),
                "outputs": say.number(outputs),
                "count": number,
                "parameters": say.written(count(row.r * (inputs + outputs) * number)),
            }
            lines.append(say("choices.line", **values))
    whole = say.written(count(row.trainable_parameters))
    return (*lines, *say.lines("choices.arithmetic", parameters=whole, bytes=say.written(count(row.weight_bytes))))
