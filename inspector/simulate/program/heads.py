"""The task type a loaded model is tuned with, and the heads that PEFT trains whole by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.simulate.program.looks import reads_tokens
from inspector.skeleton.tasks import PEFT_HEADS, peft_task

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from inspector.skeleton.tasks import TaskType


def task_type(model: PreTrainedModel) -> TaskType:
    """PEFT's task type for a model; its wrappers for tasks hand token ids on, and nothing else."""
    if not reads_tokens(model):
        return ""
    if task := peft_task(type(model).__name__):
        return task
    # The wrappers for text take this method from the base model as they are made, and not every model has one.
    if not hasattr(model, "prepare_inputs_for_generation"):
        return ""
    return "SEQ_2_SEQ_LM" if getattr(model.config, "is_encoder_decoder", False) else "CAUSAL_LM"


def heads_trained(model: PreTrainedModel) -> list[str]:
    """Paths of what PEFT trains whole by the task type of a model's class."""
    names = PEFT_HEADS.get(peft_task(type(model).__name__), ())
    return [path for path, _ in model.named_modules() if path.endswith(names)] if names else []


def heads_to_name(model: PreTrainedModel) -> list[str]:
    """The same, of a model that is wrapped without its task type: a script names them itself."""
    return [] if reads_tokens(model) else heads_trained(model)
