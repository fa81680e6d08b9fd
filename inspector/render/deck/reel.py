"""A film as a drawing: areas, the thin line of the highest moments, axis, stages, a frame for each telling moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.lesson.film import BINS
from inspector.memory_kinds import MemoryKind
from inspector.render.theme import KIND_COLOURS, KIND_HATCHES
from inspector.units import GB

if TYPE_CHECKING:
    from inspector.lesson.film import Film, Moment
    from inspector.lesson.texts import Texts

BIN = 8
WIDE, TALL = BINS * BIN, 376
LEFT, TOP = 52, 16


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
    """A film as it is drawn. ``highest`` is the thin line of each part's highest moment; ``cut`` is in GB."""

    name: str
    alt: str
    areas: tuple[Area, ...]
    highest: str
    ticks: tuple[Tick, ...]
    cut_ticks: tuple[Tick, ...]
    frames: tuple[Frame, ...]
    stages: tuple[Stage, ...]
    cut: int
    stretch: float


def reel(name: str, film: Film, say: Texts) -> Reel:
    """A film drawn to scale; ``name`` is ``step`` or ``answer``."""
    highest = max(map(sum, film.highest))
    end = _axis(highest)
    cut = _cut(film)
    stretch = end / (end - cut * GB)

    def y(nbytes: float) -> float:
        return TALL * (1 - nbytes / end)

    below = [0] * BINS
    areas = []
    for at, kind in enumerate(film.kinds):
        above = [low + line[at] for low, line in zip(below, film.ends, strict=True)]
        if any(line[at] for line in film.ends):
            member = MemoryKind(kind)
            title = say(f"film.kinds.{member.name.lower()}")
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
    ticks = range(0, int(end / GB) + 1, _every(end))
    told = "; ".join(f"{say(f'film.moments.{moment.name}')} {say.gb(moment.allocated)}" for moment in film.moments)
    return Reel(
        name=name,
        alt=say(f"film.alt_{name}", told=told),
        areas=tuple(areas),
        highest=_steps([y(sum(line)) for line in film.highest]),
        ticks=tuple(Tick(y(tick * GB), say.number(tick)) for tick in ticks),
        cut_ticks=tuple(
            Tick(TALL * (1 - stretch * (tick - cut) * GB / end), say.number(tick))
            for tick in range(cut, int(end / GB) + 1, 2)
        ),
        frames=tuple(_frame(name, film, moment, y, say) for moment in film.moments),
        stages=_stages(name, film, say),
        cut=cut,
        stretch=stretch,
    )


def _axis(highest: int) -> float:
    """The end of the axis: the next whole step of five GB, of one below ten."""
    step = 5 * GB if highest > 10 * GB else GB
    return float((highest // step + 1) * step)


def _every(end: float) -> int:
    return 5 if end > 10 * GB else 2 if end > 4 * GB else 1


def _cut(film: Film) -> int:
    """Where the axis may be cut, in GB, so that the small kinds are seen: below all that is never given back."""
    return int(min(map(sum, film.ends)) * 0.92 / GB)


def _path(above: list[float], below: list[float]) -> str:
    """A level holds to the end of its part: steps forward above, and back below."""
    there = " ".join(f"V{_px(level)}h{BIN}" for level in above)
    back = " ".join(f"V{_px(level)}h-{BIN}" for level in reversed(below))
    return f"M0 {_px(above[0])} {there} {back}Z"


def _steps(levels: list[float]) -> str:
    return f"M0 {_px(levels[0])}" + "".join(f"V{_px(level)}h{BIN}" for level in levels)


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _frame(name: str, film: Film, moment: Moment, y: Any, say: Texts) -> Frame:
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


def bytes_of(film: Film, moment: Moment, kind: MemoryKind) -> int:
    """Bytes of a kind at a moment."""
    return moment.nbytes[film.kinds.index(kind.value)] if kind.value in film.kinds else 0


def where(film: Film) -> str:
    """The stage of the peak, in the words of the quiz: the first tenth of the backward pass is the loss."""
    top = film.moment("peak")
    stage = next(scene for scene in reversed(film.scenes) if scene.part <= top.part)
    following = next((scene.part for scene in film.scenes if scene.part > stage.part), BINS)
    if stage.stage == "backward" and (top.part - stage.part) * 10 <= following - stage.part:
        return "loss"
    return stage.stage
