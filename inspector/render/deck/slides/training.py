"""3: what full fine-tuning keeps: the model several times over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.memory_kinds import MemoryKind
from inspector.render.deck.bars import kind_piece, stacked
from inspector.render.deck.slide import Numbers, Slide, finding, notes
from inspector.units import count

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts
    from inspector.lesson.training import DryRun
    from inspector.render.deck.bars import Piece

WORDS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}


def make(lesson: Lesson, say: Texts) -> Slide | None:
    """Weights, gradients, Adam's two moments and the optimizer's copies, each a block; None without such a run."""
    training = lesson.training
    if training is None or "full" not in training.methods:
        return None
    run = training.run("full")
    blocks, peak = kept(run, say), run.peak_allocated_bytes
    weights = dict(run.alive)["base weights"]
    fp32 = lesson.scheme("fp32").tensor_bytes
    end = round(max(peak, fp32) * 1.12)
    alone = [kind_piece(MemoryKind.BASE_WEIGHTS, fp32, say("training.base_weights"))]
    bars = [(say("training.kept"), blocks, say.size(peak)), (say("training.fp32"), alone, say.size(fp32))]
    whole = sum(abs(block.nbytes - weights) * 50 < weights for block in blocks)
    rest = peak - whole * weights
    ratio = say.number(peak / weights, 1)
    values = {
        "times": say(f"numbers.{WORDS.get(whole, 'five')}"), "ratio": ratio, "peak": say.size(peak),
        "weights": say.size(weights), "count": whole, "rest": say.like(rest, peak), "fp32": say.size(fp32),
    }  # fmt: skip
    # Only where that many blocks are each as large as the weights, and little comes on top, are they "times over".
    exact = whole in WORDS and rest * 10 < peak
    titles = [say("training.title", **values)] if exact else []
    rows = [(block.label, say.written(count(block.nbytes)), say.size(block.nbytes)) for block in blocks]
    rows.append((say("words.all"), say.written(count(peak)), say.size(peak)))
    rows.append((say("training.fp32"), say.written(count(fp32)), say.size(fp32)))
    rows.append((say("training.blocks"), str(whole), say.size(weights)))
    rows.append((say("training.rest"), say.written(count(rest)), say.like(rest, peak)))
    rows.append((say("training.over"), "", ratio))
    parts = " + ".join(row[1] for row in rows[: len(blocks)])
    arithmetic = (
        say("training.sum", parts=parts, bytes=say.written(count(peak))),
        say("training.stage", stage=say(f"stages.{run.peak_stage}")),
    )
    return Slide(
        "training",
        finding(*titles, say("training.title_times", **values), say("training.title_short")),
        notes(say, "training", arithmetic, **values),
        (Numbers(say("training.table"), say.lines("training.columns"), tuple(rows)),),
        "D",
        (say.size(peak), say("training.remember", **values) if exact else say("training.remember_times", **values)),
        f"inspector simulate finetune {lesson.model} --method full --gpu A100-80GB",
        {"stacks": stacked(bars, say, end=end, alt=say("training.alt", peak=say.size(peak)), tall=True)},
    )


def kept(run: DryRun, say: Texts) -> list[Piece]:
    """The blocks of a run: Adam's two moments apart, the optimizer's temporaries by what they are, the rest as one."""
    found = dict(run.alive)
    blocks = []
    for kind in MemoryKind:
        nbytes = found.pop(kind.value, 0)
        if kind is MemoryKind.OPTIMIZER_STATE and nbytes:
            # AdamW keeps an average of the gradients and one of their squares, each as large as what is trained.
            for moment, part in (("m", nbytes // 2), ("v", nbytes - nbytes // 2)):
                blocks.append(kind_piece(kind, part, say(f"training.adam_{moment}")))
        elif kind is MemoryKind.TEMPORARIES and run.peak_stage == "optimizer" and nbytes:
            blocks.append(kind_piece(kind, nbytes, say("training.copies")))
        elif kind in {MemoryKind.BASE_WEIGHTS, MemoryKind.GRADIENTS} and nbytes:
            blocks.append(kind_piece(kind, nbytes, say(f"training.{kind.name.lower()}")))
        elif nbytes:
            found[kind.value] = nbytes
    rest = sum(found.values())
    return [*blocks, kind_piece(MemoryKind.WORKSPACE, rest, say("training.rest"))] if rest else blocks
