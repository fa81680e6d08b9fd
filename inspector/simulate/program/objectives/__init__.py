"""What a step trains for beside the next token of a text, each as TRL's trainer of that name calls it.

An objective gives a micro-batch, the models that stand beside the one that trains, and the loss; the loop around it is
that of any training (`inspector.simulate.program.training`). TRL need not be installed: each file names the trainer's
source, and a test holds its steps equal to TRL's own trainers where they are.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from inspector.errors import CannotSimulateError
from inspector.simulate.program.objectives.classes import of_its_class
from inspector.simulate.program.objectives.contract import Objective

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.program.spread import Alone
    from inspector.simulate.setup.training import TrainSetup
    from inspector.simulate.tracing.tracer import Tracer

__all__ = ["Objective", "begin", "end", "objective_of", "of_its_class", "prepared", "trained"]


_MADE: dict[str, tuple[str, str]] = {
    "dpo": ("dpo", "Preference"),
    "kto": ("kto", "Unpaired"),
    **dict.fromkeys(("orpo", "simpo", "cpo"), ("odds", "WithoutReference")),
    "reward": ("reward", "Reward"),
    "prm": ("prm", "Judge"),
    **dict.fromkeys(("grpo", "rloo"), ("grpo", "OwnAnswers")),
    "ppo": ("ppo", "ProximalPolicy"),
    "gkd": ("gkd", "Student"),
    "distill": ("distill", "Distilled"),
}
"""Where each is made: its file and its class, imported when it is asked for."""
MADE_OF_TEXT = frozenset({"reward", "prm"})
"""Those that score texts, with a class of model of their own."""


def objective_of(setup: TrainSetup, next_tokens: bool, name: str) -> Objective | None:
    """The objective of a setup; None where the model's own loss is it.

    Raises CannotSimulateError for a model whose class, of this ``name``, it is not for.
    """
    if setup.objective is None:
        return None
    kind = setup.objective.kind
    if setup.batch.lengths:
        raise CannotSimulateError(f"{kind} is simulated with samples of one length", hint="leave out the lengths")
    if kind not in MADE_OF_TEXT and not next_tokens:
        raise CannotSimulateError(f"{kind} trains language models, and {name} is none", hint="leave out --objective")
    room, made = _MADE[kind]
    found: Objective = getattr(import_module(f"{__name__}.{room}"), made)(setup)
    return found


def prepared(
    objective: Objective | None, model: PreTrainedModel, config: Mapping[str, Any], tracer: Tracer, spread: Alone
) -> list[tuple[str, nn.Module]]:
    """What stands beside the model that trains, as cards share it: its modules by their paths in reports."""
    if objective is None:
        return []
    named = objective.prepare(model, config, tracer)
    if objective.beside is not None:
        objective.beside = spread.beside(objective.beside, {module: path for path, module in named})
    return named


def begin(objective: Objective | None, model: PreTrainedModel, step: int) -> None:
    """Before a micro-batch of a step: what its objective makes first, where there is one."""
    if objective is not None:
        objective.begin(model, step)


def trained(objective: Objective | None, model: nn.Module) -> nn.Module:
    """What a step trains: the model, or with it another (PPO's value model)."""
    own = getattr(objective, "trained", None)
    found: nn.Module = model if own is None else own()
    return found


def end(objective: Objective | None, model: PreTrainedModel, setup: TrainSetup) -> None:
    """After a step of the optimizer: a reference model that follows the model, where there is one."""
    if callable(own := getattr(objective, "end", None)):
        own()
    if objective is not None and setup.objective is not None and setup.objective.sync_ref_model:
        from inspector.simulate.program.objectives.reference import mix_in

        assert objective.beside is not None
        mix_in(model, objective.beside)
