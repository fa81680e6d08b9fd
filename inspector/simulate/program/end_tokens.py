"""Encoder-decoders that classify read a sequence off at its end token, which is data: every row has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.skeleton.tasks import head_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

    from inspector.simulate.tracing.tracer import Tracer


def install(tracer: Tracer, model: PreTrainedModel) -> None:
    """Answer where the end tokens are, and that all rows have as many, for a model that asks.

    Source: transformers/models/bart/modeling_bart.py, ``BartForSequenceClassification.forward`` (``eos_mask``).
    """
    if not getattr(model.config, "is_encoder_decoder", False) or head_of(type(model).__name__) != (
        "SequenceClassification"
    ):
        return

    aten, others = torch.ops.aten, tracer.kernels.replaced

    def index(tensor: torch.Tensor, indices: Sequence[torch.Tensor | None]) -> Any:
        places: list[torch.Tensor | None] = []
        for mask in indices:
            if mask is not None and mask.dtype == torch.bool:
                found = torch.empty((mask.shape[0], mask.dim()), dtype=torch.int64, device=mask.device)
                places += found.unbind(1)
            else:
                places.append(mask)
        # Itself, not this function again.
        tracer.kernels.replaced = {**others, aten.unique_consecutive.default: unique_consecutive}
        try:
            return aten.index.Tensor(tensor, places)
        finally:
            tracer.kernels.replaced = {**tracer.kernels.replaced, aten.index.Tensor: index}

    def unique_consecutive(
        counts: torch.Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
    ) -> tuple[Any, ...]:
        del return_inverse, return_counts, dim
        one = torch.empty((1,), dtype=counts.dtype, device=counts.device)
        return one, torch.empty((0,), dtype=torch.int64, device=counts.device), torch.empty_like(one[:0])

    tracer.kernels.replaced = {
        **others,
        aten.unique_consecutive.default: unique_consecutive,
        aten.index.Tensor: index,
    }
