"""15: one training step as a film: areas of what is allocated, its telling moments as frames; an answer's the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.lesson.film import BINS
from inspector.memory_kinds import MemoryKind
from inspector.render.deck.slide import Numbers, Option, Quiz, Slide, finding, notes
from inspector.render.reel import LEFT, TALL, TOP, WIDE, bytes_of, reel, script_data, where
from inspector.units import count

if TYPE_CHECKING:
    from inspector.lesson import Lesson
    from inspector.lesson.film import Film
    from inspector.lesson.texts import Texts

PHASES = ("load", "forward", "loss", "backward", "optimizer")


def make(lesson: Lesson, say: Texts) -> Slide | None:
    """The film of a QLoRA step and that of an answer; None for a model that has none."""
    films = lesson.films
    if films is None:
        return None
    step, answer = films.step, films.answer
    top = step.moment("peak")
    values = _values(step, say)
    reels = (reel("step", step, say), reel("answer", answer, say))
    return Slide(
        "film",
        finding(say("film.title", **values), say("film.title_short", **values)),
        notes(say, "film", _arithmetic(step, say), **values),
        (_table("step", step, say), _table("answer", answer, say), _settings(step, answer, say)),
        "D",
        (say.gb(top.allocated), say("film.remember", **values)),
        _command(lesson.model, step),
        {
            "reels": reels,
            "left": LEFT,
            "top": TOP,
            "wide": WIDE,
            "tall": TALL,
            "view": "0 0 940 440",
            "small": "-16 -10 956 470",
            "cut_word": "film.cut",
        },
        script_data({"step": step, "answer": answer}, say),
        quiz=_quiz(step, say),
        steps=len(step.moments) - 1,
    )


def _values(film: Film, say: Texts) -> dict[str, Any]:
    top = film.moment("peak")
    found = dict(film.said)
    return {
        "events": say.number(_round(film.events)),
        "peak": say.gb(top.allocated),
        "where": say(f"film.where.{where(film)}"),
        "start": say.gb(film.moments[0].allocated),
        "end": say.gb(film.moments[-1].allocated),
        "logits": say.gb(bytes_of(film, top, MemoryKind.LOGITS_AND_LOSS)),
        "tokens": say.number(found["seq_len"]),
    }


def _round(number: int) -> int:
    """To the thousand, for a title: one of 20,000."""
    return max(1000, round(number, -3))


def _table(name: str, film: Film, say: Texts) -> Numbers:
    kinds = [say(f"film.kinds.{MemoryKind(kind).name.lower()}") for kind in film.kinds]
    rows = tuple(
        (say(f"film.moments.{moment.name}"), say.gb(moment.allocated), *(say.written(count(n)) for n in moment.nbytes))
        for moment in film.moments
    )
    return Numbers(
        say(f"film.table_{name}", events=say.number(film.events)), (say("film.moment"), say("words.all"), *kinds), rows
    )


def _settings(step: Film, answer: Film, say: Texts) -> Numbers:
    names = dict.fromkeys(name for film in (step, answer) for name, _ in film.said)
    rows = [(name, *(_said(dict(film.said).get(name)) for film in (step, answer))) for name in names]
    rows += [(name, version, dict(answer.versions).get(name, "")) for name, version in step.versions]
    return Numbers(say("film.settings"), say.lines("film.settings_columns"), tuple(rows))


def _said(value: Any) -> str:
    return "" if value is None else ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _arithmetic(film: Film, say: Texts) -> tuple[str, ...]:
    lines = [
        say(
            "film.line",
            moment=say(f"film.moments.{moment.name}"),
            gb=say.gb(moment.allocated),
            parts=" + ".join(say.written(count(n)) for n in moment.nbytes if n),
            bytes=say.written(count(moment.allocated)),
        )
        for moment in film.moments
    ]
    return (*lines, say("film.bins", bins=BINS, events=say.number(film.events)))


def _command(model: str, film: Film) -> str:
    said = dict(film.said)
    return (
        f"inspector simulate finetune {model} --gpu {said['gpu']} --seq-len {said['seq_len']} --r {said['r']} "
        f"--target-modules {','.join(said['target_modules'])} --double-quant"
    )


def _quiz(film: Film, say: Texts) -> Quiz:
    """Where is the peak: the stages are the answers, each with the level it reaches."""
    right = where(film)
    reached = {moment.name: say.gb(moment.allocated) for moment in film.moments}
    numbers = {
        "load": reached["start"],
        "forward": reached.get("forward", ""),
        "loss": reached.get("loss", ""),
        "backward": reached.get("backward", ""),
        "optimizer": reached.get("optimizer", ""),
    }
    names = tuple(name for name in PHASES if name != "load" or right == "load")
    options = tuple(
        Option(
            say(f"film.where.{name}"),
            reached["peak"] if name == right else numbers[name],
            name == right,
            "" if name == right else say(f"film.slips.{name}"),
        )
        for name in names
    )
    return Quiz(say("film.question"), options, say(f"film.why.{right}", **_values(film, say)))
