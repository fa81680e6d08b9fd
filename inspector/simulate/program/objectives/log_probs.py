"""Log-probabilities of the answers' tokens: from a fused head that makes no logits, or from logits.

TRL 1 has Triton kernels for both (``fused``: `FusedHead`; `selected_fused` of logits); TRL 0 gathers from a
log-softmax of each row (`selected`).
"""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from inspector.errors import CannotSimulateError
from inspector.simulate.program.loss import chunked_log_probs, whole

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from inspector.simulate.program.autograd_context import Context
    from inspector.simulate.setup.words import Autocast
    from inspector.simulate.tracing.tracer import Tracer


class _Picked(torch.autograd.Function):
    """``hidden[mask]`` of so many rows: a kernel looks where the mask is, here as it is run and as it is undone."""

    @staticmethod
    def forward(ctx: Context, hidden: torch.Tensor, mask: torch.Tensor, rows: int) -> Any:
        ctx.save_for_backward(mask)
        ctx.shape = hidden.shape
        _where = mask.new_empty((rows, mask.dim()), dtype=torch.int64)
        return hidden.new_empty((rows, hidden.size(-1)))

    @staticmethod
    def backward(ctx: Context, *gradients: torch.Tensor) -> Any:
        (mask,) = ctx.saved_tensors
        (gradient,) = gradients
        whole = gradient.new_zeros(ctx.shape)
        _where = mask.new_empty((len(gradient), mask.dim()), dtype=torch.int64)
        return whole, None, None


def picked(values: torch.Tensor, mask: torch.Tensor, rows: int) -> Any:
    """``values[mask]``, of so many rows."""
    return _Picked.apply(values, mask, rows)


class _Placed(torch.autograd.Function):
    """``zeros.masked_scatter(mask, rows)``."""

    @staticmethod
    def forward(ctx: Context, rows: torch.Tensor, mask: torch.Tensor) -> Any:
        ctx.save_for_backward(mask)
        ctx.rows = len(rows)
        zeros = rows.new_zeros(mask.shape)
        return zeros.clone()

    @staticmethod
    def backward(ctx: Context, *gradients: torch.Tensor) -> Any:
        (gradient,) = gradients
        return gradient.new_empty((ctx.rows,)), None


class FusedHead:
    """A head that gives log-probabilities of labels, tile by tile, of the tokens that have one.

    Of each sequence so many tokens are ``answered``.
    Source: trl/trainer/utils.py, 1.16, ``add_fused_lm_head``: the forward is replaced below PEFT's wrapper.
    """

    def __init__(self, model: PreTrainedModel, tracer: Tracer, autocast: Autocast, answered: int) -> None:
        self.base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.tracer, self.answered = tracer, answered
        self.dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(autocast)
        if self.base.get_output_embeddings() is None:
            raise CannotSimulateError(f"{type(self.base).__name__} has no output head")
        plain = self.base.forward

        # With the signature of the class, which `generate` asks what a forward takes.
        @functools.wraps(type(self.base).forward)
        def forward(_base: object, *args: torch.Tensor, fused_lm_head: bool = False, **kwargs: Any) -> Any:
            return self._forward(*args, **kwargs) if fused_lm_head else plain(*args, **kwargs)

        self.base.forward = types.MethodType(forward, self.base)

    def _forward(self, *args: torch.Tensor, labels: torch.Tensor, **kwargs: Any) -> Any:
        head = self.base.get_output_embeddings()
        kwargs["use_cache"] = False
        hidden = self.base.base_model(*args, **kwargs).last_hidden_state[:, :-1]
        # The head itself is not called: what follows is of it.
        before = self.tracer.enter(head)
        labels = labels[:, 1:]
        mask = labels != -100
        count = len(hidden) * self.answered
        rows = _Picked.apply(hidden, mask, count)
        targets = labels.new_empty((count,))
        found = chunked_log_probs(rows, whole(head.weight), targets, self.dtype or hidden.dtype)
        placed = [_Placed.apply(each, mask) for each in found]
        self.tracer.leave(before)
        return placed


def selected(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Source: trl/trainer/utils.py, 0.24, ``selective_log_softmax``; the same in 1.16 where there is no Triton."""
    index = labels.unsqueeze(-1)
    if logits.dtype in {torch.float32, torch.float64}:
        chosen = torch.gather(logits, dim=-1, index=index).squeeze(-1)
        return chosen - torch.stack([torch.logsumexp(row, dim=-1) for row in logits])
    found = []
    for row, wanted in zip(logits, index, strict=True):
        likely = functional.log_softmax(row, dim=-1)
        found.append(likely.gather(dim=-1, index=wanted).squeeze(-1))
    return torch.stack(found)


class _Selected(torch.autograd.Function):
    """Source: trl/kernels/logprob_entropy.py, 1.16, ``_LogProbEntropyFunction``: four numbers a token, in float32."""

    @staticmethod
    def forward(ctx: Context, logits: torch.Tensor, labels: torch.Tensor) -> Any:
        found, _entropy, log_z, expected = (
            torch.empty(logits.shape[:-1], dtype=torch.float32, device=logits.device) for _ in range(4)
        )
        ctx.save_for_backward(logits, labels, log_z, expected)
        return found

    @staticmethod
    def backward(ctx: Context, *_gradients: torch.Tensor) -> Any:
        logits, *_kept = ctx.saved_tensors
        return torch.empty_like(logits, memory_format=torch.contiguous_format), None


def selected_fused(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The same by TRL 1's kernel on a card."""
    found: torch.Tensor = _Selected.apply(logits, labels)
    return found
