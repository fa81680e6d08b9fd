"""4: what LoRA does to one layer: freeze, select, two thin strips at true scale, their product beside the matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.render.deck import drawing
from inspector.render.deck.slide import Numbers, Slide, finding, notes
from inspector.render.deck.slides.model import tables
from inspector.units import count

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts

FRAMES = ("freeze", "select", "strips", "zero", "sum")
SIDE = 250
"""Pixels of the longer side of the matrix."""
LENS, RADIUS = 20, 78
"""How much the lens enlarges, and its radius in pixels."""


@dataclass(frozen=True, slots=True)
class Example:
    """The first module that is adapted: its last name, inputs, outputs, and the rank."""

    name: str
    inputs: int
    outputs: int
    r: int

    @property
    def adapter(self) -> int:
        """Numbers of the two strips: r for each input and each output."""
        return self.r * (self.inputs + self.outputs)

    @property
    def whole(self) -> int:
        """Numbers of the matrix."""
        return self.inputs * self.outputs


def example(lesson: Lesson) -> Example:
    """The module that slides 4 and 5 show."""
    inside = inside_layer(lesson)
    target = next(target for target in lesson.targets if target.name in inside)
    inputs, outputs, _ = target.shapes[0]
    return Example(target.name.rpartition(".")[2], inputs, outputs, lesson.adapters.r)


def inside_layer(lesson: Lesson) -> set[str]:
    """Paths inside a layer of the modules that are adapted."""
    layers = {module.path: module.layer for module in lesson.skeleton.modules}
    return {path[len(layers[path] or "") + 1 :] for path in lesson.adapted if layers.get(path)}


def make(lesson: Lesson, say: Texts) -> Slide:
    """One drawing in five frames."""
    shape = example(lesson)
    run = drawing.usual_run(lesson.skeleton)
    layer = drawing.layer(run, say, width=560, height=330)
    scale = SIDE / max(shape.inputs, shape.outputs)
    values: dict[str, Any] = {
        "module": shape.name,
        "inputs": say.number(shape.inputs),
        "outputs": say.number(shape.outputs),
        "r": shape.r,
        "alpha": 2 * shape.r,
        "adapter": say.number(shape.adapter),
        "whole": say.number(shape.whole),
        "lens": LENS,
        "share": say.share(shape.adapter, shape.whole, 1),
        "strip": say.share(shape.r * shape.inputs, shape.whole, 2),
        "modules": len(inside_layer(lesson)),
        "trainable": say.short(lesson.adapters.trainable_parameters),
        "frozen": say.short(lesson.skeleton.num_parameters),
        "push": 2,
        "names": ", ".join(sorted(map(_short, inside_layer(lesson)))),
    }
    return Slide(
        "lora",
        finding(say("lora.title"), say("lora.title_short")),
        notes(say, "lora", say.lines("lora.arithmetic", **values), **values),
        (_table(shape, say), _modules(lesson, say), *tables(lesson, say)),
        "L",
        (values["adapter"], say("lora.remember", **values)),
        f"inspector lora {lesson.model}",
        {
            "layer": layer,
            "pale": layer.frozen(),
            "chosen": drawing.highlighted(layer, inside_layer(lesson)),
            "frames": [say(f"lora.frames.{name}", **values) for name in FRAMES],
            "width": shape.inputs * scale,
            "height": shape.outputs * scale,
            "thin": shape.r * scale,
            "lens": LENS,
            "radius": RADIUS,
            "thick": shape.r * scale * LENS,
            "a": say("lora.a", **values),
            "b": say("lora.b", **values),
            "matrix": say("lora.matrix", **values),
            "lens_said": say("lora.lens", **values),
            "alt": say("lora.alt", **values),
            "sum": say("lora.sum", **values),
        },
        steps=len(FRAMES) - 1,
    )


def _short(path: str) -> str:
    return path.rpartition(".")[2]


def _table(shape: Example, say: Texts) -> Numbers:
    parts = (("A", shape.r, shape.inputs), ("B", shape.outputs, shape.r), ("W", shape.outputs, shape.inputs))
    rows = [
        (
            name,
            f"{say.number(rows)} \N{MULTIPLICATION SIGN} {say.number(columns)}",
            say.written(count(rows * columns)),
            say.share(rows * columns, shape.whole, 2),
        )
        for name, rows, columns in parts
    ]
    rows.insert(2, ("A + B", "", say.written(count(shape.adapter)), say.share(shape.adapter, shape.whole, 1)))
    return Numbers(say("lora.table", module=shape.name), say.lines("lora.columns"), tuple(rows))


def _modules(lesson: Lesson, say: Texts) -> Numbers:
    rows = tuple(
        (target.name, str(target.count), say.written(count(lesson.adapters.r * target.parameters_per_rank)))
        for target in lesson.targets
    )
    return Numbers(say("lora.modules", r=lesson.adapters.r), say.lines("choices.target_columns"), rows)
