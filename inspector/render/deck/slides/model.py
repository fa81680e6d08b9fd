"""2: what the model is made of, every box as large as its parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.lesson.parts import described, shares
from inspector.render.deck import drawing
from inspector.render.deck.slide import Numbers, Slide, finding, notes
from inspector.units import MB, count

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts


def make(lesson: Lesson, say: Texts) -> Slide:
    """The column of layers and one layer of it; a pressed box says what it does and what it takes."""
    total = lesson.skeleton.num_parameters
    found = shares(lesson.skeleton)
    first, second = found[0], found[1] if len(found) > 1 else None
    values = {
        "first": say(f"parts.{first.part}"), "share": say.share(first.parameters, total),
        "second": say(f"parts.{second.part}") if second else "",
        "other": say.share(second.parameters, total) if second else "",
    }  # fmt: skip
    run = drawing.usual_run(lesson.skeleton)
    large = drawing.layer(run, say, width=660, height=390)
    depth = sum(layers.count for layers in lesson.layers.decoder_runs)
    naive = lesson.scheme("fp32").naive_bytes
    arithmetic = say.lines(
        "model.arithmetic", parameters=say.written(count(total)), bytes=say.written(count(4 * total)),
        gb=say.size(4 * total), footprint=say.written(count(lesson.scheme("fp32").footprint_bytes)),
    )  # fmt: skip
    return Slide(
        "model",
        finding(say("model.title", **values), say("model.title_short", **values)),
        notes(say, "model", (*arithmetic, *_said(lesson, say)), **values, parameters=say.short(total), depth=depth),
        tables(lesson, say),
        "W",
        (say.short(total), say("model.remember", gb=say.size(naive))),
        f"inspector layers {lesson.model}",
        {
            "column": drawing.column(lesson.skeleton, say, width=130, height=440),
            "layer": large,
            "run": run,
            "depth": depth,
            "alt": say("model.alt", depth=depth, layer=run.block.cls),
            "stored": _stored(lesson, say),
        },
        {"boxes": _boxes(lesson, say, large)},
    )


def tables(lesson: Lesson, say: Texts) -> tuple[Numbers, Numbers]:
    """Parameters by part, and layer by layer: of every slide that draws a layer."""
    return _parts(lesson, say), _listing(lesson, say)


def _stored(lesson: Lesson, say: Texts) -> str:
    """How the checkpoint is stored, where it is quantized already."""
    if lesson.stored is None:
        return ""
    size = f": {say.size(lesson.stored.weights.footprint_bytes)}" if lesson.stored.weights else ""
    return say("model.stored", title=lesson.stored.title) + size


def _said(lesson: Lesson, say: Texts) -> tuple[str, ...]:
    """What is true of some models alone: experts that sleep, ties, a checkpoint that is quantized already."""
    skeleton, lines = lesson.skeleton, []
    if skeleton.num_active_parameters != skeleton.num_parameters:
        lines.append(say("model.active", parameters=say.written(count(skeleton.num_active_parameters))))
    if lesson.stored and lesson.stored.weights:
        nbytes = say.written(count(lesson.stored.weights.tensor_bytes))
        lines.append(say("model.stored_bytes", title=lesson.stored.title, bytes=nbytes))
    elif lesson.stored:
        lines.append(say("model.stored_unknown", title=lesson.stored.title))
    lines += [say("model.tied", name=name, target=target) for name, target in lesson.layers.tied[:2]]
    return tuple(lines)


def _parts(lesson: Lesson, say: Texts) -> Numbers:
    total = lesson.skeleton.num_parameters
    rows = tuple(
        (say(f"parts.{share.part}"), say.written(count(share.parameters)), say.share(share.parameters, total))
        for share in shares(lesson.skeleton)
    )
    whole = (say("words.all"), f"{say.written(count(total))} ({say.short(total)})", say.size(4 * total))
    return Numbers(say("model.parts"), say.lines("model.columns"), (*rows, whole))


def _listing(lesson: Lesson, say: Texts) -> Numbers:
    """Layer by layer: runs of equal layers are a line."""
    total = lesson.layers.num_parameters
    rows = []
    for row in lesson.layers.rows:
        shapes = " ".join("\N{MULTIPLICATION SIGN}".join(map(str, shape)) for shape in row.shapes)
        name = "\N{NO-BREAK SPACE}" * 2 * row.depth + row.name
        numbers = (
            (say.written(count(row.parameters)), say.share(row.total_parameters, total, 1))
            if row.parameters
            else ("", "")
        )
        rows.append((name, f"{row.cls} {shapes}".strip(), *numbers))
    return Numbers(say("model.listing"), say.lines("model.listing_columns"), tuple(rows))


def _boxes(lesson: Lesson, say: Texts, large: drawing.Drawing) -> list[dict[str, Any]]:
    """What a press on each box of the layer says, in the drawing's order."""
    run = drawing.usual_run(lesson.skeleton)
    entries = {entry.module.path: entry for entry in run.block.entries}
    made = []
    for box in large.boxes:
        facts = described(entries[box.path])
        wide, half, four = (say.number(facts.parameters * bits / 8 / MB, 1) for bits in (32, 16, 4))
        sizes = say("model.bytes", wide=wide, half=half, four=four)
        made.append(
            {"what": say(f"does.{facts.role}"), "name": facts.name, "shape": facts.shape,
             "parameters": say.written(count(facts.parameters)), "sizes": sizes}
        )  # fmt: skip
    return made
