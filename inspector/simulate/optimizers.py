"""Optimizers by the names transformers gives them, as CUDA would run them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.errors import InspectorError
from inspector.kinds import MemoryKind

if TYPE_CHECKING:
    from inspector.simulate.setup import TrainSetup
    from inspector.simulate.trace import Tracer


def make_optimizer(setup: TrainSetup, model: Any) -> Any:
    """The optimizer over the model's trainable parameters."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if setup.optimizer == "adamw_torch":
        return torch.optim.AdamW(parameters, lr=1e-4, foreach=True)
    raise InspectorError(f"optimizer {setup.optimizer!r} is not known")


def label_state(optimizer: Any, tracer: Tracer) -> None:
    """Say that the optimizer's tensors are its state."""
    for state in optimizer.state.values():
        for tensor in state.values():
            if isinstance(tensor, torch.Tensor) and tensor.device.type == tracer.device:
                tracer.label(tensor, MemoryKind.OPTIMIZER_STATE, "")
