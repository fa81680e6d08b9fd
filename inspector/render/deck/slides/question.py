"""1: the question of the lecture: how much memory full fine-tuning takes, asked before it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.render.deck.bars import stacked
from inspector.render.deck.quizzes import distinct
from inspector.render.deck.slide import Numbers, Option, Quiz, Slide, finding, notes
from inspector.render.deck.slides.training import kept
from inspector.units import GB, count

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts

LINES = ("T4", "L4", "A100-80GB")
APART = 0.086
"""Share of the axis that a line's words take: 100 of 1168 px."""


def make(lesson: Lesson, say: Texts) -> Slide | None:
    """One bar that grows, block by block, past what three cards give."""
    training = lesson.training
    if training is None or "full" not in training.methods:
        return None
    run = training.run("full")
    blocks = kept(run, say)
    gives = {card: training.run("full", card).usable_bytes for card in LINES}
    # Up to the first card that holds it, and two at least: beside 85 GB a small model's bar would have no words.
    holding = [card for card, nbytes in gives.items() if nbytes < run.peak_allocated_bytes]
    usable = dict(list(gives.items())[: max(len(holding) + 1, 2)])
    end = round(max(*usable.values(), run.peak_allocated_bytes) * 1.08)
    peak = say.size(run.peak_allocated_bytes)
    nexts = [*list(usable.values())[1:], 2 * end]
    # Where the next line is near, a card's name has room and its number has not.
    lines = [
        (nbytes, f"{card} {say.number(nbytes / GB, 1)}" if (after - nbytes) / end > APART else card)
        for (card, nbytes), after in zip(usable.items(), nexts, strict=True)
    ]
    made = stacked(
        [("", blocks, peak)],
        say,
        end=end,
        alt=say("question.alt", peak=peak, cards=", ".join(usable)),
        lines=lines,
        track=1168,
        tall=True,
    )
    ends, so_far = [], 0
    for block in blocks:
        so_far += block.nbytes
        ends.append({"at": 100 * so_far / end, "text": say.size(so_far)})
    values = {"numbers": _numbers(lesson.skeleton.num_parameters, say), "peak": peak}
    rows = [(block.label, say.written(count(block.nbytes)), say.size(block.nbytes)) for block in blocks]
    rows.append((say("words.all"), say.written(count(run.peak_allocated_bytes)), peak))
    rows += [(f"{say('question.gives')} {card}", say.written(count(n)), say.gb(n)) for card, n in usable.items()]
    return Slide(
        "question",
        finding(say("question.title", **values), say("question.title_short")),
        notes(say, "question", tuple(f"{name}: {nbytes} = {told}" for name, nbytes, told in rows), **values),
        (Numbers(say("question.table"), say.lines("question.columns"), tuple(rows)),),
        "D",
        (peak, say("question.remember")),
        f"inspector simulate finetune {lesson.model} --method full --gpu A100-80GB",
        {"stacks": made, "after": say.lines("question.after")},
        {"ends": ends},
        quiz=_quiz(lesson, say),
        steps=len(blocks) - 1,
    )


def _numbers(parameters: int, say: Texts) -> str:
    """``8 billion``, as people say it."""
    unit = "billion" if parameters >= GB else "million"
    size = parameters / (GB if parameters >= GB else 10**6)
    return say(f"question.{unit}", number=say.number(size, 0 if size >= 3 else 1))


def _quiz(lesson: Lesson, say: Texts) -> Quiz | None:
    """The weights alone, with gradients, with Adam's moments as well, and what it is."""
    if lesson.training is None:
        return None
    run = lesson.training.run("full")
    weights = dict(run.alive)["base weights"]
    wrong = [
        (weights * times, say(f"question.slips.{key}"))
        for times, key in ((1, "weights"), (2, "gradients"), (3, "adam"))
    ]
    options = distinct((run.peak_allocated_bytes, ""), wrong, lambda nbytes: say.gb(nbytes, 0))
    if options is None:
        return None
    why = say("question.why", weights=say.size(weights), peak=say.size(run.peak_allocated_bytes))
    return Quiz(say("question.ask_title"), tuple(Option(*option) for option in options), why)
