"""What the slides' templates are given: reports, drawings, and picks from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.lesson.one_model import spoken
from inspector.lesson.training import CARDS, CHART_CARD
from inspector.lora.matching import peft_tables
from inspector.render import theme
from inspector.render.assets import VENDOR
from inspector.render.deck import drawing

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inspector.lenses.compare import CompareRow
    from inspector.lenses.layers import LayerRow
    from inspector.lesson import Lesson

EDITION = "2026-11-23"
"""Day the bundled skeletons and constants, and so every number on a page, were last made. A page that says when it was
written instead could not be written twice the same."""

LISTING_ROWS, LISTING_PIXELS = 18, 790
"""Lines of the listing on one slide, and the width of its first two columns."""


def context(lesson: Lesson) -> dict[str, Any]:
    """Everything by the name the templates use."""
    run = drawing.usual_run(lesson.skeleton)
    return {
        "lesson": lesson,
        "theme": theme,
        "run": run,
        "depth": sum(found.count for found in lesson.layers.decoder_runs),
        # Sizes are of the pictures' viewBox (model.html.j2, steps.html.j2), less what stands beside and above.
        "column": drawing.column(lesson.skeleton, width=130, height=470),
        "layer": (large := drawing.layer(run, width=660, height=400)),
        "small": (small := drawing.layer(run, width=256, height=320).frozen()),
        "targeted": drawing.highlighted(small, _inside(lesson)),
        "unlabelled": drawing.unlabelled(run, large),
        "example": _example(lesson),
        "pages": _pages(lesson.layers.rows),
        "hyper": _hyper(lesson),
        "inside": _inside(lesson),
        "short_names": _short_names(lesson),
        "spoken": spoken,
        "variant": _variant,
        "cards": CARDS,
        # Without -dq: quantizing the constants again changes no error at the two digits of the slide.
        "error_schemes": ("bf16", "fp8", "int8", "nf4", "fp4"),
        "chart_card": CHART_CARD,
        "date": EDITION,
        "versions": _versions(lesson),
    }


def _inside(lesson: Lesson) -> set[str]:
    """Paths inside a layer of the modules that are adapted."""
    layers = {module.path: module.layer for module in lesson.skeleton.modules}
    return {path[len(layers[path] or "") + 1 :] for path in lesson.adapted if layers[path]}


def _example(lesson: Lesson) -> dict[str, Any]:
    """The first adapted module: inputs, outputs, rank, and its two matrices drawn to one scale."""
    inside = _inside(lesson)
    target = next(target for target in lesson.targets if target.name in inside)
    inputs, outputs, _ = target.shapes[0]
    return {"name": target.name.rpartition(".")[2], "inputs": inputs, "outputs": outputs, "r": lesson.adapters.r}


def _short_names(lesson: Lesson) -> dict[str, str]:
    """Targets by as little of their path as tells them apart (GPT-2 has two ``c_proj``)."""
    endings = {target.name: target.name.split(".") for target in lesson.targets}
    short = {}
    for name, parts in endings.items():
        ways = (".".join(parts[-length:]) for length in range(1, len(parts) + 1))
        short[name] = next(
            (way for way in ways if sum(f".{other}".endswith(f".{way}") for other in endings) == 1), name
        )
    return short


def _pages(rows: tuple[LayerRow, ...]) -> list[list[dict[str, Any]]]:
    """The listing in slides of few enough lines; modules without parameters only where they do something."""
    shown = [row for row in rows if row.parameters or row.tied_to or row.is_layer or row.part == "mlp"]
    return [_page(shown[start : start + LISTING_ROWS]) for start in range(0, len(shown), LISTING_ROWS)]


def _page(rows: Sequence[LayerRow]) -> list[dict[str, Any]]:
    """The lines of one slide: the first column as wide as its names, the second what is left."""
    # Bold takes 16 px a character and plain 14: both end near 510. An indent of 24 px is two characters less.
    names = [_cut(row.name, 32 - 2 * row.depth if row.is_layer else 36 - 2 * row.depth) for row in rows]
    widest = max(
        24 * row.depth + (16 if row.is_layer else 14) * len(name) for row, name in zip(rows, names, strict=True)
    )
    room = (LISTING_PIXELS - widest) // 14
    return [{"row": row, "name": name, "what": _what(row, room)} for row, name in zip(rows, names, strict=True)]


def _what(row: LayerRow, room: int) -> str:
    """What a line of the listing is: its class with its shapes, as far as there is room."""
    if row.is_layer:
        return f"same as {row.same_as}" if row.same_as else "each"
    shapes = " ".join("\N{MULTIPLICATION SIGN}".join(map(str, shape)) for shape in row.shapes)
    tied = ", tied" if row.tied_to else ""
    full = f"{row.cls} {shapes}{tied}"
    return full if len(full) <= room else _cut(row.cls, room)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}\N{HORIZONTAL ELLIPSIS}"


def _hyper(lesson: Lesson) -> dict[str, Any]:
    """The rows beside each rule of thumb: the usual targets at every rank, every set at the lesson's rank."""
    rows = lesson.lora.rows
    return {
        "ranks": [row for row in rows if row.target_set == lesson.usual.name],
        "sets": [row for row in rows if row.r == lesson.adapters.r],
    }


def _variant(row: CompareRow) -> str:
    """What another model of exactly the same memory is called beside this one: ``Instruct``, ``it``, ``base``."""
    if not row.variants:
        return "\N{EN DASH}"
    name, other = row.model.rpartition("/")[2], row.variants[0].rpartition("/")[2]
    return other.removeprefix(name).lstrip("-") or "base"


def _said(versions: Iterable[tuple[str, str]]) -> str:
    return ", ".join(
        f"{name} {number}" for name, number in versions if name in {"torch", "transformers", "bitsandbytes"}
    )


def _versions(lesson: Lesson) -> dict[str, str]:
    import json
    from importlib.metadata import version

    vendored = json.loads((VENDOR / "versions.json").read_text(encoding="utf-8"))
    return {
        "Inspector": version("llm-inspector"),
        "the model's skeleton": lesson.skeleton.built_with,
        "target modules by default": peft_tables()["built_with"],
        **({"the dry runs": _said(lesson.training.versions)} if lesson.training else {}),
        **{name: facts["version"] for name, facts in vendored.items()},
    }
