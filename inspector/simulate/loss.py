"""The loss: as the installed transformers computes it, as older ones did, in chunks, or fused with the head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import checkpoint

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from inspector.simulate.setup import TrainSetup
    from inspector.simulate.trace import Tracer

CHUNK = 256
"""Tokens of which a chunked loss makes logits at a time, as TRL's ``chunked_nll`` does by default."""


def use_loss(model: Any, setup: TrainSetup, tracer: Tracer) -> None:
    """Make the model compute its loss the way the setup says; ``full`` leaves it to transformers."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if setup.loss == "shifted":
        base.loss_function = shifted_loss
    elif setup.loss == "upcast":
        base.loss_function = lambda logits, labels, vocab_size, **_: upcast_loss(logits, labels, vocab_size, tracer)
    elif setup.loss in {"chunked", "liger"}:
        _without_logits(base, chunked_loss if setup.loss == "chunked" else liger_loss)


def _without_logits(base: Any, loss: Any) -> None:
    """The head hands the hidden states on, and the loss multiplies them with the head's weight itself."""
    head = base.get_output_embeddings()
    if head is None or not hasattr(base, "loss_function"):
        raise InspectorError(f"{type(base).__name__} has no output head to fuse a loss with", hint="use --loss full")
    head.forward = lambda hidden: hidden
    base.loss_function = lambda logits, labels, **_: loss(logits, labels, head.weight)


def _rows(hidden: Any, labels: Any) -> tuple[Any, Any]:
    """Hidden states as rows, and the labels of the next tokens, padded as ``ForCausalLMLoss`` pads them."""
    targets = torch.nn.functional.pad(labels, (0, 1), value=-100)[..., 1:].contiguous().view(-1)
    return hidden.reshape(-1, hidden.size(-1)), targets


def chunked_loss(hidden: Any, labels: Any, weight: Any) -> Any:
    """Logits of one chunk at a time, made again in the backward pass."""
    rows, targets = _rows(hidden, labels)

    def part(some: Any, wanted: Any) -> Any:
        logits = torch.nn.functional.linear(some.to(weight.dtype), weight).float()
        return torch.nn.functional.cross_entropy(logits, wanted, ignore_index=-100, reduction="sum")

    total = sum(
        checkpoint(part, some, wanted, use_reentrant=False)
        for some, wanted in zip(rows.split(CHUNK), targets.split(CHUNK), strict=True)
    )
    return total / targets.numel()


def liger_loss(hidden: Any, labels: Any, weight: Any) -> Any:
    """Liger's fused linear cross entropy."""
    rows, targets = _rows(hidden, labels)
    return _FusedLinearCrossEntropy.apply(rows, weight, targets)


class _FusedLinearCrossEntropy(torch.autograd.Function):  # type: ignore[misc]
    """Loss and gradients together, chunk by chunk; a chunk's logits turn into their gradient in place.

    Source: Liger-Kernel src/liger_kernel/ops/fused_linear_cross_entropy.py, ``fused_linear_cross_entropy_forward``
    (the chunk's size: the next power of two above tokens over vocabulary per hidden size).
    """

    @staticmethod
    def forward(ctx: Any, rows: Any, weight: Any, targets: Any) -> Any:
        tokens, width = rows.shape
        pieces = -(-weight.size(0) // width)
        chunk = 1 << (-(-tokens // pieces) - 1).bit_length()
        losses = torch.zeros(tokens, dtype=torch.float32, device=rows.device)
        grad_rows = torch.zeros_like(rows)
        grad_weight = torch.zeros_like(weight) if weight.requires_grad else None
        for begin in range(0, tokens, chunk):
            some = rows[begin : begin + chunk]
            logits = some.to(weight.dtype) @ weight.t()
            grad_rows[begin : begin + chunk] = logits @ weight
            if grad_weight is not None:
                grad_weight += torch.mm(logits.t(), some.to(weight.dtype)).float()
        del targets
        ctx.save_for_backward(grad_rows, grad_weight)
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        grad_rows, grad_weight = ctx.saved_tensors
        return grad_rows, grad_weight, None


def shifted_loss(logits: Any, labels: Any, vocab_size: int, **_: Any) -> Any:
    """Until 4.49, transformers copied the shifted logits (``logits[..., :-1, :].contiguous()``) after the upcast.

    Source: transformers v4.48 src/transformers/loss/loss_utils.py, ``ForCausalLMLoss``.
    """
    return _shifted(logits.float(), labels, vocab_size)


def upcast_loss(logits: Any, labels: Any, vocab_size: int, tracer: Tracer) -> Any:
    """Until 4.46, a model's forward replaced its logits by their float32 copy before it shifted them.

    Source: transformers v4.45 src/transformers/models/granite/modeling_granite.py, ``GraniteForCausalLM.forward``.
    """
    wide = logits.float()
    tracer.drop(logits)
    return _shifted(wide, labels, vocab_size)


def _shifted(logits: Any, labels: Any, vocab_size: int) -> Any:
    shifted = logits[..., :-1, :].contiguous().view(-1, vocab_size)
    targets = labels[..., 1:].contiguous().view(-1)
    return torch.nn.functional.cross_entropy(shifted, targets, ignore_index=-100)
