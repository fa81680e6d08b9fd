"""The lesson's dry runs at other ranks and targets: those of the what-if grid, where it is of the same step."""

from __future__ import annotations

from dataclasses import astuple, dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from inspector.lesson import what_if

if TYPE_CHECKING:
    from inspector.lesson.training import DryRun, Training
    from inspector.lesson.what_if import Bar, WhatIf


@dataclass(frozen=True, slots=True)
class Followed:
    """The methods' runs with adapters of one rank on one set of targets, all on one card."""

    r: int
    targets: str
    runs: tuple[DryRun, ...]

    @property
    def key(self) -> str:
        """What a page calls it: ``32.attention``."""
        return f"{self.r}.{self.targets}"


def followed(training: Training, grid: WhatIf | None, usual: str) -> tuple[Followed, ...]:
    """First the lesson's own runs, then those of the grid that differ from them in rank or targets alone.

    Args:
        training: the lesson's dry runs.
        grid: the model's what-if grid, if there is one.
        usual: what the targets of the lesson's runs are called in the grid.
    """
    own = Followed(training.r, usual, tuple(training.run(method) for method in training.methods))
    if grid is None or training.batch_size != what_if.BATCH_SIZE:
        return (own,)
    made = {}
    for r, (targets, _) in product(what_if.RANKS, grid.targets):
        runs = [_run(run, grid, training.seq_len, r, targets) for run in own.runs]
        found = tuple(run for run in runs if run is not None)
        if len(found) == len(runs):
            made[r, targets] = Followed(r, targets, found)
    same = made.pop((own.r, own.targets), None)
    # Made with other libraries or of another checkpoint, bars would change for a reason that nobody pressed.
    if same is None or [_sizes(run) for run in same.runs] != [_sizes(run) for run in own.runs]:
        return (own,)
    return (own, *made.values())


def _sizes(run: DryRun) -> tuple[int, int]:
    return run.peak_allocated_bytes, run.process_bytes


def _run(own: DryRun, grid: WhatIf, tokens: int, r: int, targets: str) -> DryRun | None:
    """The run of the grid that is as one of the lesson's, but for its adapters."""
    rank, on = (0, "") if own.method == "full" else (r, targets)
    wanted = (own.method, own.card, tokens, rank, on, "full", True)
    bar = next((bar for choice, bar in grid.bars.items() if astuple(choice) == wanted), None)
    return None if bar is None else _as_run(own, bar)


def _as_run(own: DryRun, bar: Bar) -> DryRun:
    alive = sum(nbytes for _, nbytes in bar.alive)
    return replace(
        own,
        process_bytes=bar.process_bytes,
        peak_allocated_bytes=alive,
        peak_reserved_bytes=alive + bar.unused,
        peak_stage=bar.stage,
        verdict=bar.verdict,
        alive=bar.alive,
    )
