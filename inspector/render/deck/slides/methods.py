"""16: full fine-tuning, LoRA and QLoRA at their highest moment, on one axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.lesson.followed import followed
from inspector.lesson.training import CARDS, CHART_CARD
from inspector.memory_kinds import MemoryKind
from inspector.render.deck.bars import kind_piece, stacked
from inspector.render.deck.slide import Numbers, Slide, finding, notes
from inspector.render.theme import KIND_COLOURS, KIND_HATCHES
from inspector.units import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.lesson import Lesson
    from inspector.lesson.followed import Followed
    from inspector.lesson.texts import Texts
    from inspector.lesson.training import DryRun, Training
    from inspector.render.deck.bars import Piece, Stacks

HERO = MemoryKind.LOGITS_AND_LOSS
FINE = 0.004
"""Kinds under this share of the longest bar in every bar are named in the drawer alone, adapters never."""


@dataclass(frozen=True, slots=True)
class Told:
    """The picture of the runs with adapters of one rank on one set of targets, and what is said of it."""

    key: str
    title: str
    remember: tuple[str, str]
    stacks: Stacks
    fact: str
    values: dict[str, object]


def make(lesson: Lesson, say: Texts) -> Slide | None:
    """Three bars that follow the rank and the targets pressed on other slides, where such runs were made.

    A kind pressed in the legend is lifted in all of them.
    """
    training = lesson.training
    if training is None:
        return None
    every = followed(training, lesson.what_if, lesson.usual.name)
    runs = every[0].runs
    longest = max(run.peak_allocated_bytes for one in every for run in one.runs)
    drawn = _drawn([run for one in every for run in one.runs], longest)
    told = [_told(one, training, drawn, longest, say) for one in every]
    table, first = _kinds(training, runs, say), told[0]
    times = first.values["times"]
    extra = ((say("methods.times"), *([""] * (len(runs) - 1)), str(times)),) if times else ()
    others = (_others(every[1:], told[1:], drawn, say),) if every[1:] else ()
    return Slide(
        "methods",
        first.title,
        notes(say, "methods", _arithmetic(training, runs, say), **first.values),
        (Numbers(table.title, table.columns, (*table.rows, *extra)), cards(training, say), *others),
        "D",
        first.remember,
        f"inspector simulate finetune {lesson.model} --method {training.methods[-1]} --gpu {CHART_CARD}",
        {
            "told": told,
            "legend": [
                (say(f"kinds.{kind.name.lower()}"), kind.value, KIND_COLOURS[kind], KIND_HATCHES.get(kind, ""))
                for kind in drawn
            ],
            "weights": f"{runs[-1].weights}." if lesson.stored else "",
        },
        {
            "r": training.r,
            "targets": lesson.usual.name,
            "followed": {one.key: {"title": one.title, "remember": one.remember} for one in told},
        },
    )


def _drawn(runs: Sequence[DryRun], longest: int) -> list[MemoryKind]:
    found = [dict(run.alive) for run in runs]
    wide = [kind for kind in MemoryKind if any(alive.get(kind.value, 0) >= FINE * longest for alive in found)]
    has_adapters = any(alive.get("adapters") for alive in found)
    return [kind for kind in MemoryKind if kind in wide or (has_adapters and kind is MemoryKind.ADAPTERS)]


def _told(one: Followed, training: Training, drawn: Sequence[MemoryKind], longest: int, say: Texts) -> Told:
    bars = [
        (say(f"methods.names.{run.method}"), _pieces(run, drawn, say), say.size(run.peak_allocated_bytes))
        for run in one.runs
    ]
    told = "; ".join(f"{name} {total}" for name, _, total in bars)
    last = dict(one.runs[-1].alive)
    hero, adapters = last.get(HERO.value, 0), last.get("adapters", 0)
    times = round(hero / adapters) if adapters else 0
    values: dict[str, object] = {
        "peaks": ", ".join(say.number(run.peak_allocated_bytes / 10**9, 1) for run in one.runs), "times": times,
        "logits": say.size(hero), "adapters": say.size(adapters), "card": CHART_CARD,
    }  # fmt: skip
    step = {
        "batch": training.batch_size,
        "tokens": say.number(training.seq_len),
        "r": one.r,
        "targets": say.target(one.targets),
    }
    return Told(
        one.key,
        finding(*_titles(one.runs, values, say)),
        (say.size(hero), say("methods.remember", **values))
        if times
        else (say.gb(one.runs[-1].peak_allocated_bytes), ""),
        # A twelfth more than the longest: its total stands beside it.
        stacked(bars, say, end=round(longest * 1.13), alt=say("methods.alt", told=told, card=CHART_CARD)),
        say("methods.fact", **step),
        values,
    )


def _others(every: Sequence[Followed], told: Sequence[Told], drawn: Sequence[MemoryKind], say: Texts) -> Numbers:
    """The runs with other adapters: what is alive at the highest moment, and the logits over the adapters."""
    rows = []
    for one, said in zip(every, told, strict=True):
        for run in one.runs:
            if run.method != "full":
                name = say(
                    "methods.other", name=say(f"methods.names.{run.method}"), r=one.r, targets=say.target(one.targets)
                )
                kinds = (_both(dict(run.alive).get(kind.value, 0), say) for kind in drawn)
                times = str(said.values["times"]) if run is one.runs[-1] else ""
                rows.append((name, _both(run.peak_allocated_bytes, say), *kinds, times))
    kinds = (say(f"kinds.{kind.name.lower()}") for kind in drawn)
    return Numbers(say("methods.others"), ("", say("words.all"), *kinds, say("methods.times")), tuple(rows))


def _pieces(run: DryRun, drawn: Sequence[MemoryKind], say: Texts) -> list[Piece]:
    found = dict(run.alive)
    made = [
        kind_piece(kind, found[kind.value], say(f"short.{kind.name.lower()}"))
        for kind in drawn
        if found.get(kind.value)
    ]
    rest = sum(nbytes for name, nbytes in run.alive if name not in {kind.value for kind in drawn})
    return [*made, kind_piece(MemoryKind.WORKSPACE, rest)] if rest else made


def _titles(runs: Sequence[DryRun], values: dict[str, object], say: Texts) -> tuple[str, ...]:
    """What each method took away, where it did."""
    found = {run.method: dict(run.alive) for run in runs}
    plain = say("methods.title_plain", **values), say("methods.title_short")
    if not {"full", "lora", "qlora"} <= set(found):
        return plain
    trained = [sum(found[name].get(kind, 0) for kind in ("gradients", "optimizer state")) for name in ("full", "lora")]
    weights = [found[name].get("base weights", 0) for name in ("lora", "qlora")]
    # Half at least, each: else the sentence would be about a difference nobody sees.
    return (say("methods.title"), *plain) if 2 * trained[1] < trained[0] and 1.5 * weights[1] < weights[0] else plain


def _kinds(training: Training, runs: Sequence[DryRun], say: Texts) -> Numbers:
    kinds = [kind for kind in MemoryKind if any(dict(run.alive).get(kind.value) for run in runs)]
    rows = [
        (say(f"kinds.{kind.name.lower()}"), *(_both(dict(run.alive).get(kind.value, 0), say) for run in runs))
        for kind in kinds
    ]
    whole = (say("words.all"), *(_both(run.peak_allocated_bytes, say) for run in runs))
    names = (say(f"methods.names.{method}") for method in training.methods)
    return Numbers(say("methods.table"), (say("words.kind"), *names), (*rows, whole))


def verdict(word: str, say: Texts) -> str:
    """The simulator's word with its mark: ``✗ does not fit``."""
    return say(f"verdicts.{word.replace(' ', '_')}")


def _both(nbytes: int, say: Texts) -> str:
    """Bytes with what they are on the stage."""
    return f"{say.written(count(nbytes))} ({say.gb(nbytes)})" if nbytes else "0"


def cards(training: Training, say: Texts) -> Numbers:
    """Which cards each method fits: what a process needs beside what a program gets, with the verdict in words."""
    rows = [(say("methods.gets"), *(say.gb(training.run(training.methods[-1], card).usable_bytes) for card in CARDS))]
    for method in training.methods:
        runs = [training.run(method, card) for card in CARDS]
        rows.append(
            (say(f"methods.names.{method}"),
             *(f"{say.gb(run.process_bytes)}, {verdict(run.verdict, say)}" for run in runs))
        )  # fmt: skip
    return Numbers(say("methods.cards"), ("", *CARDS), tuple(rows))


def _arithmetic(training: Training, runs: Sequence[DryRun], say: Texts) -> tuple[str, ...]:
    lines = [
        say("methods.line", name=say(f"methods.names.{run.method}"), stage=say(f"stages.{run.peak_stage}"),
            bytes=say.written(count(run.peak_allocated_bytes)),
            parts=" + ".join(say.written(count(nbytes)) for _, nbytes in run.alive))
        for run in runs
    ]  # fmt: skip
    lines += [say("methods.refused", name=say(f"methods.names.{method}"), why=why) for method, why in training.refused]
    lines += [run.weights for run in runs[-1:] if run.weights]
    return tuple(lines)
