"""Exercises to take home, generated from a lesson's numbers, each with its answer."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.units import GB, count

if TYPE_CHECKING:
    from inspector.lesson.one_model import Lesson
    from inspector.lesson.texts import Texts
    from inspector.lesson.training import Way

RANK = 16
SMALL_RANK = 8
TOKENS = 1024
WEIGHTS = 5
LONGEST = 24
"""Characters of a change that the texts have no name for: what has room beside its bar."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """A question, and the answer with its arithmetic."""

    question: str
    answer: str


def exercises(lesson: Lesson, say: Texts) -> tuple[Exercise, ...]:
    """Eight where there are dry runs, else those that need none."""
    made = [_naive(lesson, say), _printed(lesson, say), _module(lesson, say), _push(lesson, say), _states(lesson, say)]
    return (*made, *_logits(lesson, say), _ladder(lesson, say), *_change(lesson, say))


def _written(say: Texts, number: int) -> str:
    return say.written(count(number))


def _naive(lesson: Lesson, say: Texts) -> Exercise:
    total = lesson.skeleton.num_parameters
    sizes = ", ".join(say.gb(total * bits / 8) for bits in (32, 16, 8, 4))
    values = {"model": lesson.name, "parameters": _written(say, total), "sizes": sizes}
    return Exercise(say("exercises.naive", **values), say("exercises.naive_answer", **values))


def _printed(lesson: Lesson, say: Texts) -> Exercise:
    four = lesson.scheme("nf4-dq")
    names = ("fp32", "bf16", "int8", "nf4-dq")
    values = {
        "sizes": ", ".join(say.size(lesson.scheme(name).footprint_bytes) for name in names),
        "gap": say.size(four.footprint_bytes - four.naive_bytes),
        "share": say.share(four.quantized_parameters, four.parameters, 1),
    }
    return Exercise(say("exercises.printed"), say("exercises.printed_answer", **values))


def _module(lesson: Lesson, say: Texts) -> Exercise:
    """The last of the adapted names: of an attention block the one that brings the heads together."""
    inside = {name.rpartition(".")[2] for name in lesson.adapted}
    target = [found for found in lesson.targets if found.name.rpartition(".")[2] in inside][-1]
    inputs, outputs, copies = target.shapes[0]
    one = RANK * (inputs + outputs)
    values = {
        "name": target.name.rpartition(".")[2], "r": RANK, "inputs": _written(say, inputs),
        "outputs": _written(say, outputs),
        "copies": copies, "one": _written(say, one), "all": _written(say, one * copies),
    }  # fmt: skip
    return Exercise(say("exercises.module", **values), say("exercises.module_answer", **values))


def _push(lesson: Lesson, say: Texts) -> Exercise:
    row = lesson.adapters
    before, after = row.alpha / row.r, row.alpha / (row.r / 2)
    values = {
        "r": row.r, "half": row.r // 2, "alpha": row.alpha, "before": say.number(before), "after": say.number(after),
    }  # fmt: skip
    return Exercise(say("exercises.push", **values), say("exercises.push_answer", **values))


def _states(lesson: Lesson, say: Texts) -> Exercise:
    rows = [row for row in lesson.lora.rows if row.r == SMALL_RANK]
    row = next((row for row in rows if row.target_set == "all-linear"), rows[0])
    values = {
        "r": SMALL_RANK, "targets": say.target(row.target_set), "parameters": _written(say, row.trainable_parameters),
        "gradients": say.mb(4 * row.trainable_parameters, 1), "adam": say.mb(8 * row.trainable_parameters, 1),
    }  # fmt: skip
    return Exercise(say("exercises.states", **values), say("exercises.states_answer", **values))


def _logits(lesson: Lesson, say: Texts) -> tuple[Exercise, ...]:
    training, vocabulary = lesson.training, lesson.comparison.rows[0].vocab_size
    if training is None or not vocabulary:
        return ()
    run = training.run(training.methods[-1])
    one = 4 * vocabulary
    tokens = training.seq_len * training.batch_size
    alive = dict(run.alive).get("logits and loss", 0)
    values = {
        "tokens": _written(say, TOKENS), "vocabulary": _written(say, vocabulary), "bytes": _written(say, TOKENS * one),
        "size": say.size(TOKENS * one), "times": round(alive / (tokens * one)), "long": _written(say, tokens),
        "alive": say.size(alive),
    }  # fmt: skip
    return (Exercise(say("exercises.logits", **values), say("exercises.logits_answer", **values)),)


def _ladder(lesson: Lesson, say: Texts) -> Exercise:
    """Five weights of a seeded block, the largest among them, and the rungs they stand on."""
    # Seeded: a page that is written twice must be the same page.
    draw = random.Random(1)  # noqa: S311 -- an exercise, no secret
    weights = [round(draw.gauss(0, 0.01), 4) for _ in range(WEIGHTS)]
    largest = max(map(abs, weights))
    rungs = [min(lesson.levels.nf4, key=lambda rung: abs(weight / largest - rung)) for weight in weights]
    sign = lambda value, digits: say.written(f"{value:+.{digits}f}").replace("-", "\N{MINUS SIGN}")  # noqa: E731
    lines = "; ".join(
        f"{sign(weight, 4)} \N{RIGHTWARDS ARROW} {sign(rung, 3)} \N{RIGHTWARDS ARROW} {sign(rung * largest, 4)}"
        for weight, rung in zip(weights, rungs, strict=True)
    )
    ladder = ", ".join(sign(rung, 3) for rung in lesson.levels.nf4)
    values = {"weights": "; ".join(sign(weight, 4) for weight in weights), "ladder": ladder, "lines": lines}
    return Exercise(say("exercises.ladder", **values), say("exercises.ladder_answer", **values))


def _change(lesson: Lesson, say: Texts) -> tuple[Exercise, ...]:
    found = lesson.training.ways if lesson.training else None
    if found is None:
        return ()
    ways = ", ".join(f"{way_name(way, '', say)} ({say.number(way.process_bytes / GB, 1)} GB)" for way in found.ways[1:])
    fits = [way_name(way, "", say) for way in found.ways[1:] if way.verdict == "fits"]
    values = {"card": found.card, "ways": ways, "usable": say.gb(found.usable_bytes), "fits": ", ".join(fits) or "-"}
    return (Exercise(say("exercises.change", **values), say("exercises.change_answer", **values)),)


def way_name(way: Way, method: str, say: Texts) -> str:
    """The change in few words: the setting's own where the texts have none, ``method`` where nothing is changed."""
    if not way.what:
        return say("ways.names.as_it_is", method=method)
    if way.what.endswith(" tokens"):
        return say("ways.names.tokens", tokens=say.written(way.what.removesuffix(" tokens")))
    key = f"ways.names.{_key(way.what)}"
    return say(key) if say.has(key) else way.what.partition(" (")[0][:LONGEST]


def _key(what: str) -> str:
    """``chunked loss`` as ``chunked_loss``; of a longer one the words before its explanation."""
    if "expandable_segments" in what:
        return "expandable_segments"
    return what.partition(" (")[0].replace(" ", "_").replace("-", "_").replace(".", "_").replace(",", "")
