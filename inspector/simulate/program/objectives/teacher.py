"""The teacher of a student: a model of its own on the card that only answers, with the student's vocabulary.

Sources: trl/trainer/distillation_trainer.py and trl/experimental/gkd/gkd_trainer.py, 1.16, ``__init__``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.errors import CannotSimulateError
from inspector.memory_kinds import MemoryKind
from inspector.simulate.program.objectives import reference
from inspector.sources.resolve import resolve_config

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.setup.training import TrainSetup
    from inspector.simulate.tracing.tracer import Tracer

PATH = "teacher"


def load_teacher(setup: TrainSetup, student: PreTrainedModel, tracer: Tracer) -> Any:
    """The teacher by its name, in the student's dtype; what packs the student's weights is not told to it.

    Raises InspectorError where it is not known, and CannotSimulateError where it has another vocabulary.
    """
    assert setup.objective is not None
    name = setup.objective.teacher
    # Trainer turns the student's cache off, and nobody the teacher's.
    load = replace(setup.load, quantization=None, use_cache=True)
    model = reference.load_beside(resolve_config(name), load, tracer, path=PATH, kind=MemoryKind.TEACHER)
    own, other = (each.config.get_text_config().vocab_size for each in (student, model))
    if own != other:
        raise CannotSimulateError(
            f"a vocabulary of {own:,} is compared with the {other:,} of {name}: TRL refuses it",
            hint="a teacher of the same family, whose padded vocabulary is the same",
        )
    return model


def named(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Its modules by the paths that reports call them."""
    return reference.called_beside(model, PATH)
