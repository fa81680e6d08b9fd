"""Longformer's and LED's global attention: which tokens attend to all is data, and what is answered for a dry run.

Without a mask that says it none does, as everybody calls them for language modelling and token classes; a classifier of
sequences sets it itself, on the first token of each row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.errors import CannotSimulateError
from inspector.skeleton.tasks import head_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel

    from inspector.simulate.tracing.tracer import Tracer

_OF_QUESTIONS = ("QuestionAnswering", "MultipleChoice")


def install(tracer: Tracer, model: PreTrainedModel) -> None:
    """Answer what a model with windows of attention asks of its global tokens.

    Raises CannotSimulateError where every token of a question is global: how many there are is data.
    """
    if getattr(model.config, "attention_window", None) is None:
        return
    head = head_of(type(model).__name__)
    alone = not getattr(model.config, "is_encoder_decoder", False)
    if alone and head in _OF_QUESTIONS:
        raise CannotSimulateError(
            f"{type(model).__name__} gives every token of a question global attention, and how many these are is data"
        )
    first = alone and head == "SequenceClassification"
    tracer.notes.append(
        "the first token of every sequence has global attention, as its class sets it"
        if first
        else "no token has global attention: a script would say which ones in a mask"
    )
    asked = _Asked(tracer, first=first)
    tracer.answer = asked.answer
    if first:
        aten = torch.ops.aten
        own: dict[Any, Callable[..., Any]] = {
            aten.nonzero.default: asked.nonzero,
            aten.eq.Scalar: asked.equal,
            aten.rsub.Scalar: asked.less,
        }
        tracer.kernels.replaced = {**tracer.kernels.replaced, **own}


class _Asked:
    """Answers for no global token, or for the first of each row.

    Source: transformers/models/longformer/modeling_longformer.py, ``LongformerEncoder.forward`` (``is_global_attn``),
    ``_get_global_attn_indices`` and ``LongformerForSequenceClassification.forward``; LED has the same.
    """

    def __init__(self, tracer: Tracer, *, first: bool) -> None:
        self.usual, self.first = tracer.answer, first
        # By storage, which is kept so that no other takes its place.
        self.absent: list[Any] = []
        self.numbers: list[tuple[Any, int]] = []

    def answer(self, tensor: torch.Tensor) -> bool | int | float:
        if tensor.dim() or tensor.dtype.is_floating_point:
            return self.usual(tensor)
        if tensor.dtype == torch.bool:  # is any token global
            return self.first
        # How many are in a row at most, and what is left of a width without them.
        storage = tensor.untyped_storage()._cdata
        return next((number for found, number in self.numbers if found._cdata == storage), 1)

    def less(self, tensor: torch.Tensor, width: int, alpha: int = 1) -> Any:
        result = torch.empty_like(tensor)
        if not tensor.dim():
            self.numbers.append((result.untyped_storage(), width - alpha))
        return result

    def equal(self, tensor: torch.Tensor, _other: object) -> Any:
        result = torch.empty_like(tensor, dtype=torch.bool)
        if tensor.dtype == torch.bool:  # places of rows with fewer global tokens than others: there are none
            self.absent.append(result.untyped_storage())
        return result

    def nonzero(self, tensor: torch.Tensor) -> Any:
        storage = tensor.untyped_storage()._cdata
        rows = 0 if any(found._cdata == storage for found in self.absent) else tensor.shape[0]
        return torch.empty((rows, tensor.dim()), dtype=torch.int64, device=tensor.device)
