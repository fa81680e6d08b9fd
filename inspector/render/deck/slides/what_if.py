"""17: what if: chips for all that a student may change, one bar, the card, the verdict; only what was simulated."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.lesson.what_if import CARDS, LOSSES, METHODS, Choice
from inspector.memory_kinds import MemoryKind
from inspector.render.deck.bars import Piece, stacked
from inspector.render.deck.slide import Numbers, Slide, finding, notes
from inspector.render.theme import GREY, KIND_COLOURS, text_on
from inspector.render.unfilled import unfilled
from inspector.units import GB, count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts
    from inspector.lesson.what_if import Bar, WhatIf

NAME = "what-if"
FIRST = {"method": "qlora", "card": "T4", "tokens": 2048, "r": 32, "loss": "full", "checkpointing": True}
"""The course's step: what the slides before it have shown."""

SHOWN = (
    (MemoryKind.BASE_WEIGHTS, (MemoryKind.BASE_WEIGHTS,)),
    (MemoryKind.QUANTIZATION_CONSTANTS, (MemoryKind.QUANTIZATION_CONSTANTS,)),
    (MemoryKind.ADAPTERS, (MemoryKind.ADAPTERS,)),
    (MemoryKind.GRADIENTS, (MemoryKind.GRADIENTS,)),
    (MemoryKind.OPTIMIZER_STATE, (MemoryKind.OPTIMIZER_STATE,)),
    (MemoryKind.ACTIVATIONS, (MemoryKind.ACTIVATIONS, MemoryKind.RECOMPUTATION)),
    (MemoryKind.LOGITS_AND_LOSS, (MemoryKind.LOGITS_AND_LOSS,)),
)
"""The kinds of the bar, each with what it holds; all others are one more."""


def make(lesson: Lesson, say: Texts) -> Slide | None:
    """The grid as a bar that answers chips; None for a model without one, or without the first combination."""
    grid = lesson.what_if
    if grid is None or (first := _first(grid)) is None:
        return None
    bar = grid.bars[first]
    values = _values(first, bar, say)
    return Slide(
        NAME,
        finding(*_titles(grid, first, bar, values, say)),
        notes(say, NAME, _arithmetic(bar, values, say), **values),
        (_table(first, bar, say), _neighbours(grid, first, say), _settings(grid, say)),
        "D",
        (values["needs"], say(f"{NAME}.remember", **values)),
        f"inspector simulate finetune {lesson.model} {_command(grid, first)}",
        {
            "chips": [(name, say(f"{NAME}.chips.{name}"), _chips(name, grid, first, say)) for name in CHIPS],
            "bars": _small_multiples(grid, first, say),
            "first": first,
        },
        _data(grid, first, say),
    )


SAID = ("card", "gb", "stage")
"""What the page's script fills in."""
CHIPS = ("method", "card", "tokens", "r", "loss", "targets", "checkpointing")


def _first(grid: WhatIf) -> Choice | None:
    """The combination that stands first: the course's, of the model's own first set of targets."""
    wanted = Choice(**FIRST, targets=grid.targets[0][0])  # type: ignore[arg-type]
    # A checkpoint that is quantized already trains as it is stored, and that is LoRA.
    found = (choice for choice in (wanted, replace(wanted, method="lora")) if choice in grid.bars)
    return next(found, next(iter(grid.bars), None))


def _axes(grid: WhatIf) -> dict[str, tuple[Any, ...]]:
    """The values of each chip that some run has, in their order."""
    found = {name: {getattr(choice, name) for choice in grid.bars} for name in CHIPS}
    orders: dict[str, tuple[Any, ...]] = {
        "method": METHODS,
        "card": CARDS,
        "tokens": tuple(sorted(found["tokens"])),
        # Full fine-tuning has no rank and no targets.
        "r": tuple(sorted(found["r"] - {0})),
        "targets": tuple(own for own, _ in grid.targets),
        "loss": LOSSES,
        "checkpointing": (True, False),
    }
    return {name: tuple(value for value in order if value in found[name]) for name, order in orders.items()}


def _chips(name: str, grid: WhatIf, first: Choice, say: Texts) -> list[dict[str, Any]]:
    """A chip for each value: what it is called in the address, what is written on it, whether it is pressed."""
    chips = []
    for value in _axes(grid)[name]:
        word = ("on" if value else "off") if isinstance(value, bool) else str(value)
        key = f"{NAME}.values.{word.replace('-', '_').replace('+', '_')}"
        text = say(key) if say.has(key) else say.written(f"{value:,}") if isinstance(value, int) else word
        chips.append({"value": word, "text": text, "pressed": value == getattr(first, name)})
    return chips


def _pieces(bar: Bar, say: Texts) -> Iterator[tuple[str, int, str, str]]:
    """Name, bytes, colour and hatch of each piece of a bar, the card's own context last."""
    alive = dict(bar.alive)
    for kind, members in SHOWN:
        yield (
            say(f"film.kinds.{kind.name.lower()}"),
            sum(alive.pop(each.value, 0) for each in members),
            KIND_COLOURS[kind],
            "",
        )
    yield say(f"{NAME}.rest"), sum(alive.values()), GREY, "/"
    yield say(f"{NAME}.unused"), bar.unused, GREY, ""
    yield say(f"{NAME}.context"), bar.context, GREY, "x"


def _verdict(bar: Bar, say: Texts) -> str:
    """The verdict in words, with what is missing or to spare."""
    left = bar.usable - bar.process_bytes
    key = bar.verdict.replace(" ", "_")
    # Cached memory given back makes up for what the sum lacks: it runs, and slower.
    if bar.verdict == "tight" and left < 0:
        key = "gives_back"
    return say(f"{NAME}.verdicts.{key}", gb=say.gb(abs(left), 2))


def _values(choice: Choice, bar: Bar, say: Texts) -> dict[str, str]:
    left = bar.usable - bar.process_bytes
    return {
        "method": say(f"methods.names.{choice.method}"),
        "card": choice.card,
        "tokens": say.number(choice.tokens),
        "needs": say.gb(bar.process_bytes, 2),
        "gives": say.gb(bar.usable, 2),
        "left": say.gb(abs(left), 2),
        "stage": say(f"stages.{bar.stage}"),
        "alive": say.gb(sum(n for _, n in bar.alive), 2),
        "unused": say.gb(bar.unused, 2),
        "context": say.gb(bar.context, 2),
    }


def _titles(grid: WhatIf, first: Choice, bar: Bar, values: dict[str, str], say: Texts) -> list[str]:
    if bar.verdict != "does not fit":
        return [say(f"{NAME}.title_fits", **values), say(f"{NAME}.title_plain")]
    cures = sum(
        grid.bars[other].verdict != "does not fit" for other in _one_away(grid, first) if other.card == first.card
    )
    if cures:
        return [say(f"{NAME}.title_cure", **values), say(f"{NAME}.title_plain")]
    return [say(f"{NAME}.title_misses", **values), say(f"{NAME}.title_plain")]


def _one_away(grid: WhatIf, choice: Choice) -> list[Choice]:
    """The combinations that one chip away were simulated, in the order of the chips; the method stays."""
    values = {name: values for name, values in _axes(grid).items() if name != "method"}
    near = [replace(choice, **{name: value}) for name, others in values.items() for value in others]
    return [other for other in near if other != choice and other in grid.bars]


def _small_multiples(grid: WhatIf, first: Choice, say: Texts) -> Any:
    """For paper, and without scripts: the first combination at every length, the card as a line across them."""
    shown = [choice for tokens in _axes(grid)["tokens"] if (choice := replace(first, tokens=tokens)) in grid.bars]
    usable = grid.bars[first].usable
    end = round(1.25 * max(usable, *(grid.bars[choice].process_bytes for choice in shown)))
    bars = [
        (
            say(f"{NAME}.tokens", tokens=say.number(choice.tokens)),
            [Piece(name, n, "", colour, hatch) for name, n, colour, hatch in _pieces(grid.bars[choice], say) if n],
            say.gb(grid.bars[choice].process_bytes),
        )
        for choice in shown
    ]
    told = "; ".join(f"{name} {total}" for name, _, total in bars)
    line = (usable, say(f"{NAME}.line", card=first.card, gb=say.gb(usable)))
    return stacked(bars, say, end=end, alt=say(f"{NAME}.alt", told=told), lines=[line])


def _data(grid: WhatIf, first: Choice, say: Texts) -> dict[str, Any]:
    """Every run by its key: verdict, its words, where its peak is, and the bytes of the pieces in their order."""
    parts = [(name, colour, hatch) for name, _, colour, hatch in _pieces(grid.bars[first], say)]
    return {
        "parts": [
            {"name": name, "colour": colour, "ink": text_on(colour), "hatch": hatch} for name, colour, hatch in parts
        ],
        "cards": {choice.card: bar.usable for choice, bar in grid.bars.items()},
        "first": {name: chip["value"] for name in CHIPS for chip in _chips(name, grid, first, say) if chip["pressed"]},
        "chips": list(CHIPS),
        "runs": {
            choice.key: [
                bar.verdict,
                _verdict(bar, say),
                say(f"stages.{bar.stage}"),
                *(n for _, n, _, _ in _pieces(bar, say)),
            ]
            for choice, bar in grid.bars.items()
        },
        "gb": GB,
        "says": {name: unfilled(say, f"{NAME}.{name}", *SAID) for name in ("line", "before", "total", "peak")},
    }


def _command(grid: WhatIf, choice: Choice) -> str:
    said = [f"--gpu {choice.card}", f"--method {choice.method}", f"--seq-len {choice.tokens}"]
    if choice.method != "full":
        said += [f"--r {choice.r}", f"--target-modules {','.join(dict(grid.targets)[choice.targets])}"]
    if choice.method == "qlora":
        said += ["--double-quant"]
    said += [f"--loss {choice.loss}"] if choice.loss != "full" else []
    return " ".join((*said, *([] if choice.checkpointing else ["--no-gradient-checkpointing"])))


def _table(choice: Choice, bar: Bar, say: Texts) -> Numbers:
    rows = [(name, say.written(count(n)), say.gb(n, 2)) for name, n, _, _ in _pieces(bar, say)]
    rows.append((say("words.all"), say.written(count(bar.process_bytes)), say.gb(bar.process_bytes, 2)))
    rows.append((say(f"{NAME}.line", card=choice.card, gb=""), say.written(count(bar.usable)), say.gb(bar.usable, 2)))
    left = bar.usable - bar.process_bytes
    rows.append((say(f"{NAME}.left"), say.written(count(left)), say.gb(left, 2)))
    return Numbers(say(f"{NAME}.table"), say.lines(f"{NAME}.columns"), tuple(rows))


def _neighbours(grid: WhatIf, choice: Choice, say: Texts) -> Numbers:
    """What one chip changes: every run that is one chip away."""
    rows = []
    for other in _one_away(grid, choice):
        name = next(name for name in CHIPS if getattr(other, name) != getattr(choice, name))
        chip = next(chip for chip in _chips(name, grid, other, say) if chip["pressed"])
        bar = grid.bars[other]
        rows.append((f"{say(f'{NAME}.chips.{name}')} {chip['text']}", say.gb(bar.process_bytes, 2), _verdict(bar, say)))
    return Numbers(say(f"{NAME}.one"), say.lines(f"{NAME}.one_columns"), tuple(rows))


def _settings(grid: WhatIf, say: Texts) -> Numbers:
    rows = [(name, ", ".join(modules)) for name, modules in grid.targets]
    rows += [(f"{name} {version}", "") for name, version in grid.versions]
    return Numbers(say(f"{NAME}.settings"), say.lines(f"{NAME}.settings_columns"), tuple(rows))


def _arithmetic(bar: Bar, values: dict[str, str], say: Texts) -> tuple[str, ...]:
    parts = " + ".join(say.written(count(n)) for _, n, _, _ in _pieces(bar, say) if n)
    return say.lines(f"{NAME}.arithmetic", **values, parts=parts, bytes=say.written(count(bar.process_bytes)))
