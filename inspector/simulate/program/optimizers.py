"""Optimizers by the names transformers gives them, as CUDA would run them."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.error_origin import is_of_the_model
from inspector.errors import CannotSimulateError, InspectorError, in_one_line
from inspector.memory_kinds import MemoryKind
from inspector.simulate.program import low_rank
from inspector.simulate.setup.optimizer_names import check_optimizer

if TYPE_CHECKING:
    from torch import nn

    from inspector.simulate.tracing.tracer import Tracer


def make_optimizer(name: str, model: nn.Module, *, of_trainer: bool = False) -> Any:
    """The optimizer that transformers' Trainer makes for a name, over the model's trainable parameters.

    ``of_trainer``: in the two groups that Trainer makes of them, one without weight decay; else in one, as loops do. A
    step takes its temporaries, and the first its state, group by group.
    Raises InspectorError when transformers knows no such optimizer, it is not installed, or its step has no dry run.
    """
    if (why := not_simulated(name)) is not None:
        raise InspectorError(
            f"optimizer {name!r} is not simulated: {why}", hint="--optimizer adafactor, adamw_8bit, ..."
        )
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise CannotSimulateError("nothing in this model is trained", hint="check --target-modules and --method")
    cls, kwargs = optimizer_class(name, model)
    # Where its handler made groups of its own, or an optimizer of each weight (transformers/trainer.py, 5.23).
    own = kwargs.pop("params", None)
    own = kwargs.pop("optimizer_dict", own)
    given = own if own is not None else _trainer_groups(model) if of_trainer else parameters
    optimizer = cls(given, **kwargs)
    if name.startswith("apollo"):
        low_rank.draw_by_hand(optimizer)
    # Schedule-free ones step in their training mode alone; the Trainer turns it on before each step.
    if callable(train := getattr(optimizer, "train", None)):
        train()
    if of_trainer and kwargs.get("optim_bits") == 8:
        _embeddings_in_32_bits(optimizer, model)
    return optimizer


_NOT_SIMULATED = {
    r"galore_adamw_8bit": "its step waits for a card by itself",
    r"(ada)?lomo$": "it updates the weights inside the backward pass",
    r"grokadamw$": "it keeps its state on the host and moves it to the card weight by weight",
    r"adamw_torch_[48]bit$": "torchao compiles its step, and what compiled kernels take is not known",
    r"stable_adamw$": "optimi runs it by Triton kernels of its own on a card",
}
"""Sources: galore_torch 1.0, adamw8bit.py, ``step``; lomo_optim 0.1.1, ``fuse_update``; grokadamw 0.1.2,
``_update_group``; torchao 0.18, optim/adam.py, ``step``; torch-optimi 0.3.3, optimi/utils.py."""


def not_simulated(name: str) -> str | None:
    """Why an optimizer that transformers knows has no dry run, None where it has one."""
    return next((why for pattern, why in _NOT_SIMULATED.items() if re.match(pattern, name)), None)


def _embeddings_in_32_bits(optimizer: Any, model: nn.Module) -> None:
    """Source: transformers/trainer.py, 5.23, ``create_optimizer``: bitsandbytes' 8 bits leave embeddings out.

    By a manager of this optimizer's own: bitsandbytes' is one for the process, and would keep every model.
    """
    from bitsandbytes.optim import GlobalOptimManager

    optimizer.mng = GlobalOptimManager.__new__(GlobalOptimManager)
    optimizer.mng.initialize()
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            optimizer.mng.register_module_override(module, "weight", {"optim_bits": 32})


def _trainer_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Source: transformers/trainer.py, 5.23, ``create_optimizer`` and ``get_decay_parameter_names``."""
    from transformers.trainer_pt_utils import get_parameter_names

    without = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]
    decayed = set(get_parameter_names(model, [torch.nn.LayerNorm], without))
    named = [(name in decayed, tensor) for name, tensor in model.named_parameters() if tensor.requires_grad]
    return [
        {"params": [tensor for decays, tensor in named if decays is wanted], "weight_decay": 0.0}
        for wanted in (True, False)
    ]


def optimizer_class(name: str, model: nn.Module) -> tuple[Any, dict[str, Any]]:
    """The class and keyword arguments that ``transformers.Trainer.get_optimizer_cls_and_kwargs`` gives a name.

    By the handlers that it calls: its own module imports datasets and with it pandas, longer than a trace.
    """
    from transformers.trainer_optimizer import _OPTIMIZER_HANDLERS, OptimizerContext

    check_optimizer(name)
    args = _arguments(name)
    adam = {"betas": (args.adam_beta1, args.adam_beta2), "eps": args.adam_epsilon}
    asked = OptimizerContext(args, model, {"lr": args.learning_rate}, adam, optim_args={})
    if (handler := _OPTIMIZER_HANDLERS.get(args.optim)) is None:
        raise InspectorError(f"transformers' Trainer makes no optimizer of {name!r}")
    try:
        cls, kwargs = handler(asked)
    except (ImportError, ValueError) as error:
        if not is_of_the_model(error):
            raise
        raise InspectorError(f"optimizer {name!r} cannot be made here: {in_one_line(error)}") from error
    return cls, kwargs


def _arguments(name: str) -> Any:
    """``TrainingArguments(optim=name)`` at the defaults, but not set up.

    Its ``__post_init__`` forgets what accelerate knows of this process's devices, and makes it anew
    (transformers/training_args.py, ``_setup_devices``): a program that trains here with accelerate would lose it.
    """
    from transformers import TrainingArguments
    from transformers.training_args import OptimizerNames

    arguments = object.__new__(TrainingArguments)
    for each in fields(TrainingArguments):
        value = each.default if each.default_factory is MISSING else each.default_factory()
        vars(arguments)[each.name] = None if value is MISSING else value
    vars(arguments).update(optim=OptimizerNames(name), distributed_state=None, _n_gpu=0)
    if low_rank.projects(name):
        arguments.optim_target_modules = low_rank.TARGETS
    return arguments


def label_state(optimizer: torch.optim.Optimizer, trainable: list[tuple[str, Any]], tracer: Tracer) -> None:
    """Say that the optimizer's tensors are its state, and for which module."""
    owners = {id(parameter): name.rpartition(".")[0] for name, parameter in trainable}
    for parameter, state in low_rank.states(optimizer):
        for value in state.values():
            tensor = getattr(value, "ortho_matrix", value)  # a projector has it
            # Adam counts its steps on the CPU unless it is fused or captured (torch/optim/adam.py).
            if isinstance(tensor, torch.Tensor) and tensor.device.type == tracer.device:
                tracer.label(tensor, MemoryKind.OPTIMIZER_STATE, owners.get(id(parameter), ""))
