"""One training step, or one answer, as a film: the timeline of a dry run in equal parts, and its telling moments.

A part keeps the state it ends with and the highest moment in it: the peak may be one event of twenty thousand, and no
state at the end of anything.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.memory_kinds import MemoryKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.simulate.finetuning import StepReport
    from inspector.simulate.generation import GenerateReport
    from inspector.simulate.reports.at_peak import KindLine, Point

FILMS = Path(__file__).parent.parent / "data" / "films"
BINS = 110
"""Parts of a film: eight pixels each on a slide."""

SHOWN = {
    MemoryKind.BASE_WEIGHTS: MemoryKind.BASE_WEIGHTS,
    MemoryKind.QUANTIZATION_CONSTANTS: MemoryKind.QUANTIZATION_CONSTANTS,
    MemoryKind.ADAPTERS: MemoryKind.ADAPTERS,
    MemoryKind.GRADIENTS: MemoryKind.GRADIENTS,
    MemoryKind.OPTIMIZER_STATE: MemoryKind.OPTIMIZER_STATE,
    MemoryKind.ACTIVATIONS: MemoryKind.ACTIVATIONS,
    MemoryKind.RECOMPUTATION: MemoryKind.ACTIVATIONS,
    MemoryKind.CACHE: MemoryKind.CACHE,
    MemoryKind.LOGITS_AND_LOSS: MemoryKind.LOGITS_AND_LOSS,
}
"""The kinds of a film: what is computed again goes with what is saved. All others are `MemoryKind.TEMPORARIES`."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A telling moment: which, in which part of the film, and the bytes of the film's kinds then.

    ``name`` is ``start``, ``forward`` (its middle), ``loss`` (the forward pass has ended), ``peak``, ``backward`` (its
    middle), ``optimizer`` (its highest) or ``end``; of an answer ``start``, ``prefill`` (its highest), ``prompt`` (read
    whole), ``token`` (the first), ``grown`` (before the last), ``last`` (its highest) or ``end``.
    """

    name: str
    part: int
    nbytes: tuple[int, ...]

    @property
    def allocated(self) -> int:
        """Bytes in all."""
        return sum(self.nbytes)


@dataclass(frozen=True, slots=True)
class Scene:
    """A stage: its name, its step, and the part of the film in which it begins."""

    stage: str
    step: int
    part: int


@dataclass(frozen=True)
class Film:
    """What is allocated by kind in `BINS` equal parts of a run, in bytes.

    ``ends`` and ``highest`` have for each part the bytes of each of ``kinds``: as it ends, and at its highest moment.
    ``events`` is how many allocations and frees the film has. ``said`` are the settings that were not the defaults.
    """

    model: str
    said: tuple[tuple[str, Any], ...]
    versions: tuple[tuple[str, str], ...]
    events: int
    kinds: tuple[str, ...]
    ends: tuple[tuple[int, ...], ...]
    highest: tuple[tuple[int, ...], ...]
    scenes: tuple[Scene, ...]
    moments: tuple[Moment, ...]

    def moment(self, name: str) -> Moment:
        """The moment of a name."""
        return next(moment for moment in self.moments if moment.name == name)


def of_step(report: StepReport, said: Sequence[tuple[str, Any]] = ()) -> Film:
    """The film of the last step: the optimizer's state is there from its beginning, as in all that follow."""
    last = max(point.step for point in report.timeline)
    reel = _Reel(report.timeline, report.timeline_kinds, [n for n, at in enumerate(report.timeline) if at.step == last])
    moments = [("start", reel.first)]
    for stage, name in (("forward", "forward"), ("backward", "backward")):
        found = reel.of_stage(stage)
        if found:
            middle = (reel.points[found[0]].event + reel.points[found[-1]].event) // 2
            moments.append((name, max(at for at in found if reel.points[at].event <= middle)))
    if before := reel.of_stage("forward"):
        moments.append(("loss", before[-1]))
    moments.append(("peak", reel.highest_of(reel.wanted)))
    if after := reel.of_stage("optimizer"):
        moments.append(("optimizer", reel.highest_of(after)))
    moments.append(("end", reel.last))
    return reel.film(report.model, said, report.versions, moments)


def of_answer(report: GenerateReport, said: Sequence[tuple[str, Any]] = ()) -> Film:
    """The film of a generation from the prefill on; between its traced ends the cache grows at once."""
    wanted = [n for n, at in enumerate(report.timeline) if at.step >= 0]
    reel = _Reel(report.timeline, report.timeline_kinds, wanted)
    steps = sorted({report.timeline[n].step for n in wanted})
    by_step = {step: [n for n in wanted if report.timeline[n].step == step] for step in steps}
    moments = [("start", reel.first), ("prefill", reel.highest_of(by_step[0])), ("prompt", by_step[0][-1])]
    if len(steps) > 1:
        moments.append(("token", by_step[steps[1]][-1]))
    if len(steps) > 2:
        moments += [("grown", by_step[steps[-2]][-1]), ("last", reel.highest_of(by_step[steps[-1]]))]
    moments.append(("end", reel.last))
    return reel.film(report.model, said, report.versions, moments)


class _Reel:
    """The points of a timeline that a film is made of, by their places in it."""

    def __init__(self, points: Sequence[Point], lines: Sequence[KindLine], wanted: Sequence[int]) -> None:
        self.points = points
        self.wanted = wanted
        self.first, self.last = wanted[0], wanted[-1]
        shown = {line.kind: SHOWN.get(MemoryKind(line.kind), MemoryKind.TEMPORARIES) for line in lines}
        self.kinds = tuple(kind for kind in MemoryKind if kind in shown.values())
        self._lines = [[line.nbytes for line in lines if shown[line.kind] is kind] for kind in self.kinds]

    def at(self, place: int) -> tuple[int, ...]:
        return tuple(sum(nbytes[place] for nbytes in lines) for lines in self._lines)

    def of_stage(self, stage: str) -> list[int]:
        return [place for place in self.wanted if self.points[place].stage == stage]

    def highest_of(self, places: Sequence[int]) -> int:
        return max(places, key=lambda place: self.points[place].allocated)

    def part_of(self, place: int) -> int:
        first, last = self.points[self.first].event, self.points[self.last].event
        return min((self.points[place].event - first) * BINS // (last - first + 1), BINS - 1)

    def film(
        self, model: str, said: Sequence[tuple[str, Any]], versions: Any, moments: Sequence[tuple[str, int]]
    ) -> Film:
        parts = [self.part_of(place) for place in self.wanted]
        ends, highest = [], []
        before = 0
        for part in range(BINS):
            after = bisect_right(parts, part)
            # A part in which nothing was kept is as the one before it ended.
            within = self.wanted[before:after] or [self.wanted[max(after - 1, 0)]]
            ends.append(self.at(within[-1]))
            highest.append(self.at(self.highest_of(within)))
            before = after
        scenes: list[Scene] = []
        for place in self.wanted:
            point = self.points[place]
            if not scenes or (scenes[-1].stage, scenes[-1].step) != (point.stage, point.step):
                scenes.append(Scene(point.stage, point.step, self.part_of(place)))
        return Film(
            model=model,
            said=tuple(said),
            versions=tuple(versions.items()),
            events=self.points[self.last].event - self.points[self.first].event + 1,
            kinds=tuple(map(str, self.kinds)),
            ends=tuple(ends),
            highest=tuple(highest),
            scenes=tuple(scenes),
            # In the order of time; where two are one, as in a run whose peak is the optimizer's, the peak is told.
            moments=tuple(
                Moment(name, self.part_of(place), self.at(place)) for name, place in sorted(_once(moments), key=_time)
            ),
        )


def _once(moments: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    found: dict[int, str] = {}
    for name, place in moments:
        if place not in found or name == "peak":
            found[place] = name
    return [(name, place) for place, name in found.items()]


def _time(moment: tuple[str, int]) -> int:
    return moment[1]


@dataclass(frozen=True, slots=True)
class Films:
    """The two films of a model."""

    step: Film
    answer: Film


def shipped(model: str) -> Films | None:
    """The films that ship for a model; None when there are none."""
    step, answer = load(model), load(model, "answer")
    return Films(step, answer) if step and answer else None


def path_of(model: str, what: str = "step") -> Path:
    """Where a bundled model's film is kept: ``what`` is ``step`` or ``answer``."""
    return FILMS / f"{model.replace('/', '--', 1)}.{what}.json"


def load(model: str, what: str = "step") -> Film | None:
    """The film that ships for a model; None when there is none."""
    path = path_of(model, what)
    return loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def dumps(film: Film) -> str:
    """The JSON text that `loads` reads: a line for each kind, one number where a kind never changes."""
    head = {key: value for key, value in asdict(film).items() if key not in {"ends", "highest"}}
    lines = {
        name: [line[0] if len(set(line)) == 1 else line for line in zip(*rows, strict=True)]
        for name, rows in (("ends", film.ends), ("highest", film.highest))
    }
    whole = {**head, **lines}
    parts = (f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in whole.items())
    return "{\n" + ",\n".join(parts) + "\n}\n"


def loads(text: str) -> Film:
    """The film that `dumps` wrote."""
    data: dict[str, Any] = json.loads(text)
    rows = {
        name: tuple(zip(*([line] * BINS if isinstance(line, int) else line for line in data[name]), strict=True))
        for name in ("ends", "highest")
    }
    return Film(
        model=data["model"],
        said=_pairs(data["said"]),
        versions=_pairs(data["versions"]),
        events=data["events"],
        kinds=tuple(data["kinds"]),
        scenes=tuple(Scene(**scene) for scene in data["scenes"]),
        moments=tuple(Moment(at["name"], at["part"], tuple(at["nbytes"])) for at in data["moments"]),
        **rows,
    )


def _pairs(pairs: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in pairs)
