"""9: quantization in the hand: eight weights of one block, divided by the largest, each set to the nearest rung."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.lesson.rungs import SCHEMES, SHOWN, kept, rungs
from inspector.render.deck.slide import Numbers, Option, Quiz, Slide, finding, notes
from inspector.render.unfilled import unfilled

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.rungs import Kept, Rungs
    from inspector.lesson.texts import Texts

OPEN = 3
"""Rows that are open at first; Right uncovers the others one by one."""
OUTLIER = 5
"""How many times larger the largest weight becomes at a press."""
WIDE, MARGIN = 1168, 28
BLOCK, NESTED = 64, 256
"""Weights of a block, and blocks of the second quantization: the defaults of bitsandbytes."""
ONCE = 4 + 32 / BLOCK
TWICE = 4 + 8 / BLOCK + 32 / (BLOCK * NESTED)
"""Bits for each weight: a scale of 32 bits a block; or of 8 bits, with one of 32 bits for 256 of them."""


def make(_lesson: Lesson, say: Texts) -> Slide:
    """The table of eight rows above the ladder; a dot may be dragged and its row follows."""
    found = rungs()
    block = found.block
    rows = [kept(weight, block.scale, found.of("nf4")) for weight in block.in_the_hand]
    asked = rows[-1]
    values: dict[str, Any] = {
        "scale": _signed(block.scale, say).removeprefix("+"),
        "twice": _number(block.scale_twice, say),
        "model": block.model.rpartition("/")[2],
        "file": block.file,
        "tensor": block.tensor,
        "weight": _signed(asked.weight, say),
        "once": say.number(ONCE, 1),
        "both": say.number(TWICE, 2),
        "block": BLOCK,
        "nested": NESTED,
        "largest": max(range(SHOWN), key=lambda number: abs(rows[number].weight)) + 1,
    }
    return Slide(
        "rungs",
        finding(say("rungs.title")),
        notes(say, "rungs", _arithmetic(rows, block.scale, say), **values),
        (
            *(_table(found, scheme, say) for scheme in SCHEMES),
            _ladders(found, say),
            Numbers(
                say("rungs.scales"),
                say.lines("rungs.scale_columns"),
                (
                    (say("rungs.scale_once"), values["scale"], values["once"]),
                    (say("rungs.scale_twice"), values["twice"], values["both"]),
                ),
            ),
            Numbers(
                say("rungs.source"),
                say.lines("rungs.source_columns"),
                (
                    (block.model, f"{block.source}, {block.licence}"),
                    (block.file, f"{block.tensor}, {block.first} ..."),
                ),
            ),
        ),
        "W",
        (say("rungs.sixteen"), say("rungs.remember", **values)),
        "",
        {
            "columns": say.lines("rungs.columns"),
            "rows": [_cells(row, say) for row in rows],
            "largest": values["largest"] - 1,
            "scale": say("rungs.scale", **values),
            "real": say("rungs.real", **values),
            "wide": WIDE,
            "rungs": [_x(level) for level in found.of("nf4")],
            "dots": [_x(row.divided) for row in rows],
            "schemes": SCHEMES,
            "alt": say("rungs.alt", told="; ".join(f"{a} {say('rungs.to')} {b}" for a, b in _told(rows, say))),
            "open": OPEN,
        },
        {
            "levels": {scheme: list(found.of(scheme)) for scheme in SCHEMES},
            "weights": list(block.in_the_hand),
            "scale": block.scale,
            "twice": block.scale_twice,
            "outlier": OUTLIER,
            "x": [MARGIN, WIDE - 2 * MARGIN],
            "open": OPEN,
            "bits": {"once": say.number(ONCE, 1), "twice": say.number(TWICE, 2)},
            "says": {
                "scale": unfilled(say, "rungs.scale", "scale", "once"),
                "scale_twice": unfilled(say, "rungs.scale_told", "scale", "twice", "both"),
                "crowded": unfilled(say, "rungs.crowded", "used"),
                "dot": unfilled(say, "rungs.dot", "weight", "rung", "bits", "error"),
            },
        },
        quiz=_quiz(found, say),
        steps=SHOWN - OPEN,
    )


def _x(value: float) -> float:
    """Where a value from -1 to 1 stands on the ladder."""
    return MARGIN + (value + 1) / 2 * (WIDE - 2 * MARGIN)


def _number(value: float, say: Texts, digits: int = 4) -> str:
    return say.number(value, digits)


def _signed(value: float, say: Texts, digits: int = 4) -> str:
    """With its sign, and nothing is never below zero."""
    text = f"{value:+.{digits}f}"
    return say.written(text if float(text) else f"{0:.{digits}f}").replace("-", "\N{MINUS SIGN}")


def _cells(row: Kept, say: Texts) -> tuple[str, ...]:
    return (
        _signed(row.weight, say),
        _signed(row.divided, say, 3),
        _signed(row.rung, say, 3),
        row.bits,
        _signed(row.back, say),
        _signed(row.error, say),
    )


def _told(rows: list[Kept], say: Texts) -> list[tuple[str, str]]:
    return [(_signed(row.weight, say), _signed(row.rung, say, 3)) for row in rows]


def _table(found: Rungs, scheme: str, say: Texts) -> Numbers:
    block = found.block
    rows = [kept(weight, block.scale, found.of(scheme)) for weight in block.in_the_hand]
    return Numbers(
        say("rungs.table", scheme=scheme), say.lines("rungs.columns"), tuple(_cells(row, say) for row in rows)
    )


def _ladders(found: Rungs, say: Texts) -> Numbers:
    rows = tuple(
        (f"{code:04b}", *(_signed(found.of(scheme)[code], say) for scheme in SCHEMES))
        for code in range(len(found.of("nf4")))
    )
    return Numbers(say("rungs.ladders"), (say("rungs.bits"), *SCHEMES), rows)


def _arithmetic(rows: list[Kept], scale: float, say: Texts) -> tuple[str, ...]:
    told = rows[-1]
    cells: dict[str, Any] = dict(
        zip(("weight", "divided", "rung", "bits", "back", "error"), _cells(told, say), strict=True)
    )
    return say.lines(
        "rungs.arithmetic",
        **cells,
        scale=_number(scale, say),
        once=say.number(ONCE, 1),
        both=say.number(TWICE, 3),
        block=BLOCK,
        nested=NESTED,
    )


def _quiz(found: Rungs, say: Texts) -> Quiz:
    """Which rung takes the last weight: the slips are not dividing, not rounding, and the rung on the other side."""
    levels, scale, weight = sorted(found.of("nf4")), found.block.scale, found.block.in_the_hand[-1]
    right = kept(weight, scale, found.of("nf4"))
    undivided = kept(weight, 1.0, found.of("nf4")).rung
    at = levels.index(right.rung)
    # The neighbour on the weight's own side: what one takes who looks for the next rung and not for the nearest.
    other = levels[min(max(at + (1 if right.divided > right.rung else -1), 0), len(levels) - 1)]
    wrong = {undivided: "undivided", other: "other"}
    wrong.pop(right.rung, None)
    options = [Option(_signed(right.rung, say, 3), say("rungs.answers.right", bits=right.bits), right=True)]
    options += [
        Option(
            _signed(value, say, 3),
            say(f"rungs.answers.{slip}"),
            slip=say(f"rungs.slips.{slip}", scale=_number(scale, say)),
        )
        for value, slip in wrong.items()
    ]
    options.append(Option(_signed(right.divided, say, 3), say("rungs.answers.exact"), slip=say("rungs.slips.exact")))
    ordered = tuple(sorted(options, key=lambda option: option.text))
    cells = dict(zip(("weight", "divided", "rung", "bits", "back", "error"), _cells(right, say), strict=True))
    return Quiz(
        say("rungs.question", weight=cells["weight"], scale=_number(scale, say)),
        ordered,
        say("rungs.why", **cells, scale=_number(scale, say)),
    )
