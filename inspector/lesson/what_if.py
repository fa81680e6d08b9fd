"""What if: the dry runs of one model over all that a student may change, made once and kept as data.

Only what was simulated is there. The peak changes its moment from one length to the next, so nothing is interpolated.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from inspector.simulate.on_card import Verdict
    from inspector.simulate.setup.words import Loss, Method

GRIDS = Path(__file__).parent.parent / "data" / "what_if"

# Of a course's free card, of one that is rented for little, and of one on which nearly everything fits.
CARDS = ("T4", "L4", "A100-80GB")
METHODS: tuple[Method, ...] = ("full", "lora", "qlora")
TOKENS = (512, 1024, 2048, 4096)
RANKS = (8, 32, 128)
LOSSES: tuple[Loss, ...] = ("full", "chunked")
BATCH_SIZE = 1
BLOCK = 512
"""The caching allocator hands out memory in multiples of this (``kMinBlockSize``): files count in it, not in bytes."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The chips that are pressed. Full fine-tuning has no adapters: its ``r`` is 0 and its ``targets`` are empty."""

    method: Method
    card: str
    tokens: int
    r: int
    targets: str
    loss: Loss
    checkpointing: bool

    @property
    def key(self) -> str:
        """The choice as one word, for a page's address and its script: ``qlora.T4.2048.32.attention.full.on``."""
        checkpointing = "on" if self.checkpointing else "off"
        return f"{self.method}.{self.card}.{self.tokens}.{self.r}.{self.targets}.{self.loss}.{checkpointing}"


@dataclass(frozen=True, slots=True)
class Bar:
    """What one dry run takes, in bytes: ``alive`` at the peak by kind, what is reserved besides, the CUDA context.

    ``unused`` is what the allocator reserves at its highest and no tensor had at the peak. ``stage`` is where the
    peak is.
    """

    alive: tuple[tuple[str, int], ...]
    unused: int
    context: int
    usable: int
    stage: str
    verdict: Verdict

    @property
    def process_bytes(self) -> int:
        """What the card must have."""
        return sum(nbytes for _, nbytes in self.alive) + self.unused + self.context


@dataclass(frozen=True)
class WhatIf:
    """The dry runs of one model by what was chosen, in the order of `choices`; a combination that has none is absent.

    ``targets`` says what each set of targets means in ``LoraConfig``; ``refused`` has what a library said of those
    combinations that no run was possible of.
    """

    model: str
    targets: tuple[tuple[str, tuple[str, ...]], ...]
    versions: tuple[tuple[str, str], ...]
    bars: Mapping[Choice, Bar]
    refused: tuple[str, ...] = ()


def choices(targets: Sequence[str]) -> tuple[Choice, ...]:
    """Every combination that is asked for, with these sets of targets.

    Checkpointing is off only for the smallest adapters, rank 8 on the first set, and for full fine-tuning: what saved
    activations take is learnt from one adapter as well as from all.
    """
    found = []
    for method, tokens, loss in product(METHODS, TOKENS, LOSSES):
        for r, name in [(0, "")] if method == "full" else product(RANKS, targets):
            smallest = r in {0, RANKS[0]} and name in {"", targets[0]}
            for checkpointing, card in product((True, False) if smallest else (True,), CARDS):
                found.append(Choice(method, card, tokens, r, name, loss, checkpointing))
    return tuple(found)


def path_of(model: str) -> Path:
    """Where a bundled model's grid is kept."""
    return GRIDS / f"{model.replace('/', '--', 1)}.json"


def load(model: str) -> WhatIf | None:
    """The grid that ships for a model; None when there is none."""
    path = path_of(model)
    return loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def dumps(grid: WhatIf) -> str:
    """The JSON text that `loads` reads: runs in the order of `choices`, each a list, and null where there is none.

    A run is the number of its ``alive`` line, of its stage and verdict, and the unused memory; a line of ``alive`` has
    the kinds in their order. Memory is in blocks of `BLOCK` bytes, all but what is said of cards.
    """
    kinds = sorted({name for bar in grid.bars.values() for name, _ in bar.alive})
    stages = sorted({bar.stage for bar in grid.bars.values()})
    verdicts = sorted({bar.verdict for bar in grid.bars.values()})
    lines: dict[tuple[int, ...], int] = {}
    runs: list[list[int] | None] = []
    for choice in choices([name for name, _ in grid.targets]):
        bar = grid.bars.get(choice)
        if bar is None:
            runs.append(None)
            continue
        found = dict(bar.alive)
        line = tuple(_blocks(found.get(kind, 0)) for kind in kinds)
        place = lines.setdefault(line, len(lines))
        runs.append([place, stages.index(bar.stage), verdicts.index(bar.verdict), _blocks(bar.unused)])
    cards = {choice.card: [bar.usable, bar.context] for choice, bar in grid.bars.items()}
    head = {"model": grid.model, "targets": grid.targets, "versions": grid.versions, "refused": grid.refused}
    whole = {
        **head, "block": BLOCK, "cards": cards, "kinds": kinds, "stages": stages, "verdicts": verdicts,
        "alive": list(lines), "runs": runs,
    }  # fmt: skip
    # A line for each of its parts: a change shows where it is, and the file is no longer for it.
    parts = (f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in whole.items())
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _blocks(nbytes: int) -> int:
    if nbytes % BLOCK:
        raise ValueError(f"{nbytes} bytes are no whole blocks of {BLOCK}")
    return nbytes // BLOCK


def loads(text: str) -> WhatIf:
    """The grid that `dumps` wrote."""
    data: dict[str, Any] = json.loads(text)
    targets = tuple((name, tuple(modules)) for name, modules in data["targets"])
    bars = {}
    for choice, run in zip(choices([name for name, _ in targets]), data["runs"], strict=True):
        if run is None:
            continue
        line, stage, verdict, unused = run
        usable, context = data["cards"][choice.card]
        pairs = zip(data["kinds"], data["alive"][line], strict=True)
        bars[choice] = Bar(
            # Most first, as the report has them.
            alive=most_first((kind, blocks * data["block"]) for kind, blocks in pairs if blocks),
            unused=unused * data["block"],
            context=context,
            usable=usable,
            stage=data["stages"][stage],
            verdict=data["verdicts"][verdict],
        )
    versions = tuple((name, version) for name, version in data["versions"])
    return WhatIf(data["model"], targets, versions, bars, tuple(data["refused"]))


def most_first(pairs: Iterable[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Kinds with their bytes, most first; by name where two are equal, so that a file read is the grid written."""
    return tuple(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))
