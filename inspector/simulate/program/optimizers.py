"""Optimizers by the names transformers gives them, as CUDA would run them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.error_origin import is_of_the_model
from inspector.errors import CannotSimulateError, InspectorError
from inspector.memory_kinds import MemoryKind
from inspector.simulate.program.refusals import in_one_line
from inspector.simulate.setup.optimizer_names import check_optimizer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.simulate.tracing.tracer import Tracer


@contextmanager
def as_on_cuda() -> Iterator[None]:
    """Let torch's optimizers and gradient clipping choose for meta tensors as they choose for CUDA tensors.

    They use multi-tensor and fused kernels on the device types in ``_get_foreach_kernels_supported_devices`` and
    ``_get_fused_kernels_supported_devices`` (torch/utils/_foreach_utils.py).
    """
    from torch.optim import optimizer
    from torch.utils import _foreach_utils as utils

    names = ("_get_foreach_kernels_supported_devices", "_get_fused_kernels_supported_devices")
    holders = [(module, name) for module in (utils, optimizer) for name in names if hasattr(module, name)]
    before = [getattr(module, name) for module, name in holders]
    for module, name in holders:
        setattr(module, name, lambda: ["cuda", "meta"])
    try:
        yield
    finally:
        for (module, name), function in zip(holders, before, strict=True):
            setattr(module, name, function)


@contextmanager
def bitsandbytes_as_on_cuda(tracer: Tracer) -> Iterator[None]:
    """Let bitsandbytes' optimizers work on meta tensors; paged state is managed memory, not the allocator's.

    Source: bitsandbytes/functional.py, ``get_paged`` (``cudaMallocManaged``), ``is_on_gpu``; optim/optimizer.py,
    ``Optimizer8bit.get_state_buffer`` (state of 100,000 elements and more is paged).
    """
    from bitsandbytes import functional

    def get_paged(*shape: int, dtype: Any = torch.float32, device: Any = None) -> Any:
        with torch.utils._python_dispatch._disable_current_modes():
            out = torch.empty(shape, dtype=dtype, device="meta" if device is None else device)
        tracer.ignore([out])
        tracer.paged_bytes += out.nbytes
        out.is_paged = True
        out.page_deviceid = 0
        return out

    replaced: dict[str, Any] = {
        "get_paged": get_paged,
        "fill": lambda *_args, **_kwargs: None,
        "prefetch_tensor": lambda *_args, **_kwargs: None,
        "is_on_gpu": lambda _tensors: True,
    }
    before = {name: getattr(functional, name) for name in replaced}
    for name, function in replaced.items():
        setattr(functional, name, function)
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(functional, name, function)


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
