"""Optimizers by the names transformers gives them, as CUDA would run them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.error_origin import is_of_the_model
from inspector.errors import CannotSimulateError, InspectorError
from inspector.memory_kinds import MemoryKind
from inspector.simulate.program.refusals import in_one_line
from inspector.simulate.setup.optimizer_names import check_optimizer

if TYPE_CHECKING:
    from inspector.simulate.tracing.tracer import Tracer


def make_optimizer(name: str, model: Any) -> Any:
    """The optimizer that transformers' Trainer makes for a name, over the model's trainable parameters.

    Raises InspectorError when transformers knows no such optimizer, or it is not installed.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise CannotSimulateError("nothing in this model is trained", hint="check --target-modules and --method")
    cls, kwargs = optimizer_class(name, model)
    return cls(parameters, **kwargs)


def optimizer_class(name: str, model: Any) -> tuple[Any, dict[str, Any]]:
    """The class and keyword arguments that ``transformers.Trainer.get_optimizer_cls_and_kwargs`` gives a name."""
    from transformers import Trainer, TrainingArguments

    check_optimizer(name)
    try:
        arguments = TrainingArguments(output_dir="unused", optim=name, use_cpu=True, report_to=[])
        cls, kwargs = Trainer.get_optimizer_cls_and_kwargs(arguments, model)
    except (ImportError, ValueError) as error:
        if not is_of_the_model(error):
            raise
        raise InspectorError(f"optimizer {name!r} cannot be made here: {in_one_line(error)}") from error
    return cls, kwargs


def label_state(optimizer: Any, trainable: list[tuple[str, Any]], tracer: Tracer) -> None:
    """Say that the optimizer's tensors are its state, and for which module."""
    owners = {id(parameter): name.rpartition(".")[0] for name, parameter in trainable}
    for parameter, state in optimizer.state.items():
        for tensor in state.values():
            if isinstance(tensor, torch.Tensor) and tensor.device.type == tracer.device:
                tracer.label(tensor, MemoryKind.OPTIMIZER_STATE, owners.get(id(parameter), ""))
