"""The task type a loaded model is tuned with, and the heads that PEFT trains whole by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.simulate.program.looks import reads_tokens
from inspector.skeleton.tasks import PEFT_HEADS, head_of, peft_task

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


def classes_with_a_loss(model: PreTrainedModel) -> str:
    """What to name in ``architectures`` in the place of a class without a head; "" where it has one."""
    from inspector.architecture.classes import classes_of

    if head_of(type(model).__name__):
        return ""
    found = [cls.__name__ for _, classes in classes_of(model.config) for cls in classes if head_of(cls.__name__)]
    return f"name a class with a head in architectures, such as {found[0]}" if found else ""
