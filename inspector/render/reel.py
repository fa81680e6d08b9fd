"""A film as a drawing: areas, the thin line of the highest moments, axis, stages, a frame for each telling moment.

A slide tells it in GB and in sentences of the lesson; the page of a dry run in MiB, each moment by what is alive in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.lesson.film import BINS
from inspector.memory_kinds import MemoryKind
from inspector.render.theme import KIND_COLOURS, KIND_HATCHES
from inspector.render.unfilled import unfilled
from inspector.units import GB, MiB

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inspector.lesson.film import Film, Moment
    from inspector.lesson.texts import Texts

BIN = 8
WIDE, TALL = BINS * BIN, 376
LEFT, TOP = 52, 16
TOLD = 3
"""Kinds that a plain sentence names, the largest first."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What the axis and the numbers are in: its name, its bytes, and digits of a small number."""

    name: str
    nbytes: int
    small_digits: int

    def said(self, nbytes: int, say: Texts) -> str:
        """``13.5 GB``."""
        return f"{say.number(nbytes / self.nbytes, 1)}\N{NO-BREAK SPACE}{self.name}"


IN_GB = Unit("GB", GB, 2)
IN_MIB = Unit("MiB", MiB, 1)


@dataclass(frozen=True, slots=True)
class Area:
    """A kind of memory through the film: its outline as a path, its colour and hatch."""

    kind: str
    name: str
    colour: str
    hatch: str
    path: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A level on the axis, in pixels from the top."""

    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Frame:
    """A telling moment: where its marker stands, the number there, and one sentence."""

    x: float
    y: float
    number: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage below the picture, from one pixel to another; ``text`` where there is room."""

    x: float
    end: float
    text: str


@dataclass(frozen=True)
class Reel:
    """A film as it is drawn. ``highest`` is the thin line of each part's highest moment; ``cut`` is in bytes."""

    name: str
    alt: str
    areas: tuple[Area, ...]
    highest: str
    ticks: tuple[Tick, ...]
    cut_ticks: tuple[Tick, ...]
    frames: tuple[Frame, ...]
    stages: tuple[Stage, ...]
    cut: float
    stretch: float


def reel(name: str, film: Film, say: Texts, unit: Unit = IN_GB, *, plain: bool = False) -> Reel:
    """A film drawn to scale.

    Args:
        name: ``step`` or ``answer``.
        film: what is drawn.
        say: the language.
        unit: of axis and numbers.
        plain: tell each moment by its kinds alone, which is true of every run; the lesson's sentences are of its own.
    """
    highest = max(map(sum, film.highest))
    step = _step(highest / unit.nbytes)
    end = math.ceil(highest / unit.nbytes / step) * step * unit.nbytes
    # Five fifths or two halves: where the axis may be cut, so that the small kinds are seen, and its ticks then.
    fine = step / (5 if f"{step:e}"[0] == "5" else 2)
    cut = math.floor(min(map(sum, film.ends)) * 0.92 / unit.nbytes / fine) * fine
    stretch = end / (end - cut * unit.nbytes)

    def y(nbytes: float) -> float:
        return TALL * (1 - nbytes / end)

    below = [0] * BINS
    areas = []
    for at, kind in enumerate(film.kinds):
        above = [low + line[at] for low, line in zip(below, film.ends, strict=True)]
        if any(line[at] for line in film.ends):
            member = MemoryKind(kind)
            title = kind_name(member, say, plain=plain)
            areas.append(
                Area(
                    kind,
                    title,
                    KIND_COLOURS[member],
                    KIND_HATCHES.get(member, ""),
                    _path([y(v) for v in above], [y(v) for v in below]),
                )
            )
        below = above
    told = "; ".join(
        f"{moment_name(moment.name, say, plain=plain)} {unit.said(moment.allocated, say)}" for moment in film.moments
    )

    def ticks(first: float, apart: float) -> tuple[tuple[float, str], ...]:
        levels = (
            first + apart * number for number in range(math.floor((end / unit.nbytes - first) / apart + 0.01) + 1)
        )
        return tuple((level * unit.nbytes, say.number(level, 0 if apart >= 1 else 1)) for level in levels)

    return Reel(
        name=name,
        alt=say(f"film.alt_{name}", told=told),
        areas=tuple(areas),
        highest=_steps([y(sum(line)) for line in film.highest]),
        ticks=tuple(Tick(y(level), text) for level, text in ticks(0, step)),
        cut_ticks=tuple(
            Tick(TALL * (1 - stretch * (level - cut * unit.nbytes) / end), text) for level, text in ticks(cut, 2 * fine)
        ),
        frames=tuple(
            _plain(moment, film, y, say, unit) if plain else _frame(name, film, moment, y, say)
            for moment in film.moments
        ),
        stages=_stages(name, film, say),
        cut=cut * unit.nbytes,
        stretch=stretch,
    )


def _step(highest: float) -> float:
    """1, 2 or 5 of a power of ten: from two to five of them are as high as ``highest``."""
    least = highest / 4
    power = 10.0 ** math.floor(math.log10(least))
    return next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= least)


def kind_name(kind: MemoryKind, say: Texts, *, plain: bool = False) -> str:
    """What a kind is called beside a film; the optimizer of a lesson is Adam."""
    plainly = plain and kind is MemoryKind.OPTIMIZER_STATE
    return say(f"{'short' if plainly else 'film.kinds'}.{kind.name.lower()}")


def moment_name(name: str, say: Texts, *, plain: bool = False) -> str:
    """What a moment is called."""
    return say(f"film.{'stages' if plain and name == 'optimizer' else 'moments'}.{name}")


def _path(above: list[float], below: list[float]) -> str:
    """A level holds to the end of its part: steps forward above, and back below."""
    there = " ".join(f"V{_px(level)}h{BIN}" for level in above)
    back = " ".join(f"V{_px(level)}h-{BIN}" for level in reversed(below))
    return f"M0 {_px(above[0])} {there} {back}Z"


def _steps(levels: list[float]) -> str:
    return f"M0 {_px(levels[0])}" + "".join(f"V{_px(level)}h{BIN}" for level in levels)


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _plain(moment: Moment, film: Film, y: Callable[[float], float], say: Texts, unit: Unit) -> Frame:
    alive = sorted(zip(moment.nbytes, film.kinds, strict=True), reverse=True)[:TOLD]
    named = [
        f"{kind_name(MemoryKind(kind), say, plain=True)} {unit.said(nbytes, say)}" for nbytes, kind in alive if nbytes
    ]
    sentence = f"{moment_name(moment.name, say, plain=True)}: {', '.join(named)}"
    return Frame((moment.part + 0.5) * BIN, y(moment.allocated), unit.said(moment.allocated, say), sentence)


def _frame(name: str, film: Film, moment: Moment, y: Callable[[float], float], say: Texts) -> Frame:
    found = dict(film.said)
    values = {
        "gb": say.gb(moment.allocated),
        "logits": say.gb(bytes_of(film, moment, MemoryKind.LOGITS_AND_LOSS)),
        "cache": say.gb(bytes_of(film, moment, MemoryKind.CACHE)),
        "saved": say.gb(bytes_of(film, moment, MemoryKind.ACTIVATIONS)),
        "gradients": say.mb(bytes_of(film, moment, MemoryKind.GRADIENTS)),
        "tokens": say.number(found.get("seq_len", found.get("prompt_len", 0))),
        "rest": say.gb(bytes_of(film, moment, MemoryKind.TEMPORARIES)),
        "sequences": found.get("batch_size", 1),
        "new": say.number(found.get("max_new_tokens", 0)),
    }
    key = f"{moment.name}_{where(film)}" if moment.name == "peak" else moment.name
    sentence = say(f"film.{name}.{key if say.has(f'film.{name}.{key}') else moment.name}", **values)
    return Frame((moment.part + 0.5) * BIN, y(moment.allocated), values["gb"], sentence)


def _stages(name: str, film: Film, say: Texts) -> tuple[Stage, ...]:
    made = []
    scenes = film.scenes
    for at, scene in enumerate(scenes):
        end = scenes[at + 1].part if at + 1 < len(scenes) else BINS
        key = scene.stage if name == "step" else "prefill" if scene.step == 0 else "token"
        text = say(f"film.stages.{key}", step=say.number(scene.step))
        made.append(Stage(scene.part * BIN, end * BIN, text if 13 * len(text) <= (end - scene.part) * BIN else ""))
    return tuple(made)


def drawn(films: Mapping[str, Film], say: Texts) -> dict[str, object]:
    """What the template of a page's films reads: in MiB, each moment told plainly, longer numbers at the axis."""
    return {
        "reels": tuple(reel(name, film, say, IN_MIB, plain=True) for name, film in films.items()),
        "left": LEFT, "top": TOP, "wide": WIDE, "tall": TALL, "parts": BINS,
        "view": "-30 0 970 440", "small": "-112 -10 1052 484", "cut_word": "film.cut_button",
    }  # fmt: skip


def film_data(film: Film) -> dict[str, object]:
    """What the page's script reads of a film."""
    return {
        "kinds": list(film.kinds),
        "highest": [list(line) for line in film.highest],
        "ends": [list(line) for line in film.ends],
        "parts": [moment.part for moment in film.moments],
        "moments": [list(moment.nbytes) for moment in film.moments],
    }


def script_data(films: Mapping[str, Film], say: Texts, unit: Unit = IN_GB) -> dict[str, object]:
    """The films of a page by name, what their numbers are in, and the sentence of any moment."""
    return {
        **{name: film_data(film) for name, film in films.items()},
        "unit": {"name": unit.name, "bytes": unit.nbytes, "small": unit.small_digits},
        "says": {"part": unfilled(say, "film.part", "part", "parts", "end", "highest"), "parts": BINS},
    }


def bytes_of(film: Film, moment: Moment, kind: MemoryKind) -> int:
    """Bytes of a kind at a moment."""
    return moment.nbytes[film.kinds.index(kind.value)] if kind.value in film.kinds else 0


def where(film: Film) -> str:
    """The stage of the peak, in the words of the quiz: early in the backward pass it is the loss, where that made it.

    The loss's own backward holds the logits' gradients beside them; a layer that is computed again holds no more
    logits than the forward pass ended with.
    """
    top = film.moment("peak")
    stage = next(scene for scene in reversed(film.scenes) if scene.part <= top.part)
    following = next((scene.part for scene in film.scenes if scene.part > stage.part), BINS)
    early = (top.part - stage.part) * 10 <= following - stage.part
    ends = [moment for moment in film.moments if moment.name == "loss"]
    grown = all(_logits(film, top) > _logits(film, moment) for moment in ends)
    return "loss" if stage.stage == "backward" and early and grown else stage.stage


def _logits(film: Film, moment: Moment) -> int:
    return bytes_of(film, moment, MemoryKind.LOGITS_AND_LOSS)
