"""Boxes as large as their parameters: the whole model as a column, one layer as a block of columns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inspector.render.theme import FROZEN, PART_COLOURS, PART_HATCHES, text_on
from inspector.skeleton import in_tower
from inspector.skeleton.identical_layers import Entry, Run, fold

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from inspector.lesson.texts import Texts
    from inspector.skeleton import Module, Part, Skeleton

CHARACTER = 14.5
"""Pixels a character of 24 px text takes, on the safe side."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with up to two lines in it, as many as fit. ``path`` is inside the layer, for a layer's boxes."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    lines: tuple[str, ...] = ()
    path: str = ""
    hatch: str = ""

    @property
    def ink(self) -> str:
        """Colour of its text."""
        return text_on(self.colour)


@dataclass(frozen=True, slots=True)
class Label:
    """A line of text whose middle is at ``y``."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Drawing:
    """Boxes and the labels beside them."""

    boxes: tuple[Box, ...]
    labels: tuple[Label, ...] = ()

    def frozen(self) -> Drawing:
        """The same without words and colour."""
        return Drawing(tuple(replace(box, colour=FROZEN, lines=(), hatch="") for box in self.boxes))


def column(skeleton: Skeleton, say: Texts, *, width: float, height: float) -> Drawing:
    """The model from its embedding to its head, every layer a box of its own; ``say`` writes its labels."""
    unit = height / skeleton.num_parameters
    y, boxes, labels = 0.0, [], []
    # By stack and not by run: where two sorts of layer take turns, runs are too many to name.
    stacks: dict[str, list[tuple[int, int, float, float]]] = {}
    for item in fold(skeleton):
        parameters = _own(item) if isinstance(item, Entry) else _own_of_block(item)
        copies, start = (1, y) if isinstance(item, Entry) else (item.count, y)
        if not parameters:
            continue
        shares = {item.module.part: parameters} if isinstance(item, Entry) else _parts(item)
        for _ in range(copies):
            x = 0.0
            for part, share in shares.items():
                boxes.append(
                    Box(
                        x,
                        y,
                        width * share / parameters,
                        parameters * unit,
                        PART_COLOURS[part],
                        hatch=PART_HATCHES.get(part, ""),
                    )
                )
                x += width * share / parameters
            y += parameters * unit
        if isinstance(item, Run):
            stacks.setdefault(item.stack, []).append((copies, parameters, start, y))
        # A hundredth of 470 px is a line, which is too thin to be named.
        elif parameters * 100 >= skeleton.num_parameters:
            name = f"{item.module.path.rpartition('.')[2]} {say.short(parameters)}"
            labels.append(Label(width + 14, (start + y) / 2, name))
    labels += [
        Label(width + 14, (runs[0][2] + runs[-1][3]) / 2, _stack(name, runs, say)) for name, runs in stacks.items()
    ]
    return Drawing(tuple(boxes), tuple(_apart(sorted(labels, key=lambda label: label.y), height)))


def _parts(run: Run) -> dict[Part, int]:
    """Parameters of one layer by the kind of part, those under a thousandth left out."""
    found: Counter[Part] = Counter()
    for entry in run.block.entries:
        found[entry.module.part] += _own(entry)
    # Of 130 px a thousandth is an eighth of a pixel.
    return {part: parameters for part, parameters in found.items() if parameters * 1000 > sum(found.values())}


def _stack(name: str, runs: list[tuple[int, int, float, float]], say: Texts) -> str:
    """``32 layers of 218M``; ``48 layers, 1.64B to 1.65B`` when they differ."""
    sizes = sorted({parameters for _, parameters, _, _ in runs})
    told = say(
        f"model.{'layers_alike' if len(sizes) == 1 else 'layers_apart'}",
        layers=sum(copies for copies, *_ in runs), least=say.short(sizes[0]), most=say.short(sizes[-1]),
    )  # fmt: skip
    return f"{say('model.tower')}: {told}" if in_tower(name) else told


def _apart(labels: list[Label], height: float, gap: float = 30) -> Iterator[Label]:
    """Labels moved so that none covers another, none leaves the picture, and they keep their order."""
    ys: list[float] = []
    for label in labels:
        ys.append(max(label.y, gap / 2, ys[-1] + gap if ys else 0))
    limit = height - gap / 2
    for index in range(len(ys) - 1, -1, -1):
        ys[index] = min(ys[index], limit)
        limit = ys[index] - gap
    # Where labels are too many for the height, the way back has pushed the first above the picture.
    return (replace(label, y=y) for label, y in zip(labels, ys, strict=True) if y >= gap / 2)


def usual_run(skeleton: Skeleton) -> Run:
    """The sort of decoder layer there is most of: the one to draw."""
    found: Counter[object] = Counter()
    runs: dict[object, Run] = {}
    for item in fold(skeleton):
        if isinstance(item, Run) and not in_tower(item.stack):
            found[item.block] += item.count
            runs.setdefault(item.block, item)
    return runs[found.most_common(1)[0][0]]


def layer(run: Run, say: Texts, *, width: float, height: float) -> Drawing:
    """One layer: a column for each of its parts (attention, MLP, ...), in it a box for each module."""
    parts: dict[str, list[Entry]] = {}
    for entry in run.block.entries:
        if _own(entry):
            parts.setdefault(entry.module.path.partition(".")[0], []).append(entry)
    whole = _own_of_block(run)
    x, boxes, headings = 0.0, [], []
    for name, entries in parts.items():
        parameters = sum(map(_own, entries))
        wide, y = width * parameters / whole, 0.0
        for entry in entries:
            tall = height * _own(entry) / parameters
            boxes.append(_box(entry.module, _own(entry), say, x, y, wide, tall))
            y += tall
        if parameters * 100 >= whole:
            headings.append((x + wide / 2, f"{name} {say.short(parameters)}"))
        x += wide
    return Drawing(tuple(boxes), tuple(_beside(headings, width)))


def _beside(headings: list[tuple[float, str]], width: float) -> Iterator[Label]:
    """Headings over their columns' middles, moved right where the one before needs the room, dropped where none is."""
    end = 0.0
    for middle, text in headings:
        room = CHARACTER * len(text)
        start = max(end, min(middle - room / 2, width - room))
        if start + room <= width:
            # 18 above the boxes: half of a text of 24 px, and a little air.
            yield Label(start + room / 2, -18, text)
            end = start + room + CHARACTER


def _box(module: Module, parameters: int, say: Texts, x: float, y: float, width: float, height: float) -> Box:
    name = module.path.rpartition(".")[2]
    short = name.removesuffix("_proj")
    # 24 px of text want 30 of a line.
    room = int(height // 30)
    # At the worst a letter: q, k, v and o are what people call them anyway.
    fits = next((text for text in (name, short, short[:1]) if len(text) * CHARACTER <= width - 4), "")
    lines = [fits] if fits and room else []
    number = say.short(parameters)
    if lines and room > 1 and len(number) * CHARACTER <= width - 4:
        lines.append(number)
    hatch = PART_HATCHES.get(module.part, "")
    return Box(x, y, width, height, PART_COLOURS[module.part], tuple(lines), module.path, hatch)


def _own(entry: Entry) -> int:
    """Parameters a module holds itself, tied ones not counted."""
    return sum(tensor.numel for tensor in entry.tensors if tensor.is_parameter and tensor.tied_to is None)


def _own_of_block(run: Run) -> int:
    return sum(map(_own, run.block.entries))


def highlighted(drawing: Drawing, targets: Iterable[str]) -> tuple[Box, ...]:
    """The boxes of the modules that adapters go to."""
    wanted = set(targets)
    return tuple(box for box in drawing.boxes if box.path in wanted)
