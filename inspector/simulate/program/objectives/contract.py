"""What every objective is to the training loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.program.looks import Input
    from inspector.simulate.tracing.tracer import Tracer


class Objective(Protocol):
    """What a step trains for. ``beside`` is the model that it compares with, where that is one of its own."""

    beside: PreTrainedModel | None

    def inputs(self) -> dict[str, Input]:
        """The tensors of one micro-batch, in the order in which the trainer's collator makes them."""

    def prepare(self, model: PreTrainedModel, config: Mapping[str, Any], tracer: Tracer) -> list[tuple[str, nn.Module]]:
        """Load what stands beside the model that trains; its modules by the paths that reports call them."""

    def begin(self, model: PreTrainedModel, step: int) -> None:
        """Before each micro-batch of a step: what is made of a batch before its forward."""

    def loss(self, model: PreTrainedModel, batch: dict[str, Any]) -> torch.Tensor:
        """The loss of a micro-batch; all else that was made is gone when it returns."""
