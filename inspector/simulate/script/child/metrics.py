"""Metrics of the evaluate library: code on the hub, in whose place one stands that reads every score as unknown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from inspector.simulate.script.child.errors import handed_on
from inspector.simulate.script.child.replaced import replace

if TYPE_CHECKING:
    from types import ModuleType

    from inspector.simulate.script.child.world import World

_NAMES = {
    "glue": ("accuracy", "f1"), "super_glue": ("accuracy", "f1"), "squad": ("exact_match", "f1"),
    "squad_v2": ("exact", "f1"), "rouge": ("rouge1", "rouge2", "rougeL", "rougeLsum"), "sacrebleu": ("score",),
    "chrf": ("score",), "ter": ("score",), "poseval": ("accuracy",), "bertscore": ("precision", "recall", "f1"),
    "seqeval": ("overall_precision", "overall_recall", "overall_f1", "overall_accuracy"), "mean_iou": ("mean_iou",),
}  # fmt: skip
"""What scripts read of metrics that have not one score of their own name, by evaluate 0.4's metrics/ folder."""
_PLAIN = frozenset({"wer", "cer"})
"""Those that give a number and no dictionary."""


class Scores(dict[str, float]):
    """Scores by their names; one that is asked for by another name is as unknown as the others."""

    def __init__(self, names: tuple[str, ...], value: float) -> None:
        super().__init__(dict.fromkeys(names, value))
        self._value = value

    def __missing__(self, _name: str) -> float:
        return self._value


class Metric:
    """In place of ``evaluate.EvaluationModule``: it takes everything, and computes nothing."""

    def __init__(self, name: str, value: float) -> None:
        self.name = name
        self._value = value

    def add(self, **_: object) -> None:
        """One prediction, not kept."""

    def add_batch(self, **_: object) -> None:
        """A batch of them, not kept."""

    def compute(self, **_: object) -> Scores | float:
        """Every score as the policy for unknown numbers has it."""
        return self._value if self.name in _PLAIN else Scores(_NAMES.get(self.name, (self.name,)), self._value)


def install(world: World) -> None:
    """Answer as soon as the library is imported."""
    world.imports.then("evaluate.loading", lambda module: _load(world, module))


def _load(world: World, module: ModuleType) -> None:
    original = module.load

    def load(path: object, *args: object, **kwargs: object) -> object:
        try:
            return handed_on(original, path, *args, **kwargs)
        except (ConnectionError, FileNotFoundError):
            # A metric of one's own, beside the script, failed by itself.
            if world.job.network or Path(str(path)).exists():
                raise
            # Scores choose among checkpoints and stop early, as any unknown number does.
            policies = world.policies
            policies.note(policies.said(torch.float32), world.tracer.line())
            world.skip(f"the metric {path} is not on this disk: its scores are not computed")
            return Metric(str(path).rpartition("/")[2], policies.number)

    replace("evaluate.loading.load", load)
