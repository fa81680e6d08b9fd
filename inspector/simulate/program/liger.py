"""Liger's losses: a gradient is made with the loss, a chunk of tokens or of pairs at a time, and kept for the backward.

Sources: linkedin/Liger-Kernel src/liger_kernel/ops/cross_entropy.py, ops/fused_linear_cross_entropy.py and
chunked_loss/. The kernels write a chunk's gradient where its logits were and allocate nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from inspector.simulate.program.autograd_context import Context


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> Any:
    """Of given logits, (tokens, vocabulary), which are overwritten by their gradient."""
    return _CrossEntropy.apply(logits, targets)


class _CrossEntropy(torch.autograd.Function):
    """Source: ops/cross_entropy.py, v0.2.1, ``LigerCrossEntropyFunction``."""

    @staticmethod
    def forward(ctx: Context, logits: torch.Tensor, targets: torch.Tensor) -> Any:
        losses = torch.zeros(len(logits), dtype=logits.dtype, device=logits.device)
        _counted = (targets != -100).sum()
        ctx.save_for_backward(logits.detach())
        return losses.sum()

    @staticmethod
    def backward(ctx: Context, *_: object) -> Any:
        (gradient,) = ctx.saved_tensors
        return gradient, None


def fused_linear_cross_entropy(
    rows: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, *, upcast: bool = False
) -> Any:
    """Of hidden states, (tokens, hidden), and a head; ``upcast``: a chunk's logits in float32, as until Liger 0.5."""
    return _FusedLinearCrossEntropy.apply(rows, weight, targets, upcast)


class _FusedLinearCrossEntropy(torch.autograd.Function):
    """A chunk's size is the next power of two above tokens over vocabulary per hidden size.

    Source: ops/fused_linear_cross_entropy.py, ``fused_linear_cross_entropy_forward``; with ``upcast`` that of v0.4.2,
    which makes a 16 bit copy of the gradient, scales a further one and adds to the weight's in place.
    """

    @staticmethod
    def forward(ctx: Context, rows: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, upcast: bool) -> Any:
        tokens, width = rows.shape
        pieces = -(-weight.size(0) // width)
        chunk = 1 << (-(-tokens // pieces) - 1).bit_length()
        losses = torch.zeros(tokens, dtype=torch.float32, device=rows.device)
        grad_rows = torch.zeros_like(rows)
        grad_weight = torch.zeros_like(weight) if weight.requires_grad else None
        for begin in range(0, tokens, chunk):
            some = rows[begin : begin + chunk]
            logits = some.to(weight.dtype) @ weight.t()
            if upcast:
                logits = logits.float()
                logits = logits.to(rows.dtype)
                scaled = logits * 1.0
                grad_rows[begin : begin + chunk] = scaled @ weight
                if grad_weight is not None:
                    torch.addmm(grad_weight, logits.t(), some, out=grad_weight)
                continue
            grad_rows[begin : begin + chunk] = logits @ weight
            if grad_weight is not None:
                grad_weight += torch.mm(logits.t(), some.to(weight.dtype)).float()
        del targets
        ctx.save_for_backward(grad_rows, grad_weight)
        return losses.sum()

    @staticmethod
    def backward(ctx: Context, *_: object) -> Any:
        grad_rows, grad_weight = ctx.saved_tensors
        return grad_rows, grad_weight, None, None


def preference(states: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, *, likely: bool) -> Any:
    """Of pairs, (2 pairs, tokens, hidden), the chosen first; ``likely``: with the likelihood of the chosen."""
    return _Preference.apply(states, weight, labels, likely)


class _Preference(torch.autograd.Function):
    """Source: chunked_loss/fused_linear_preference.py, 6b2fd02d to 0.8: a pair at a time, its function compiled."""

    @staticmethod
    def forward(ctx: Context, states: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, likely: bool) -> Any:
        grad_weight = torch.zeros_like(weight)
        loss = torch.zeros((), device=states.device)
        half = len(states) // 2
        gradients: list[list[torch.Tensor]] = [[], []]
        for pair in range(half):
            at = slice(pair, pair + 1), slice(half + pair, half + pair + 1)
            chunk = torch.cat([states[each] for each in at])
            _told = torch.cat([labels[each] for each in at])
            gradient = _chunk(chunk, weight, grad_weight, likely=likely)
            gradients[0].append(gradient[:1])
            gradients[1].append(gradient[1:])
        ctx.save_for_backward(torch.cat(gradients[0] + gradients[1]), grad_weight)
        return loss

    @staticmethod
    def backward(ctx: Context, *_: object) -> Any:
        gradient, grad_weight = ctx.saved_tensors
        return gradient, grad_weight, None, None


def _chunk(chunk: torch.Tensor, weight: torch.Tensor, grad_weight: torch.Tensor, *, likely: bool) -> torch.Tensor:
    """The buffers of ``accumulate_chunk`` as Inductor compiles it for a card, in their order.

    Logits in 16 bits; of their softmax two numbers a token; a float32 gradient of the logits for what ``gather``
    scatters back; and the logits' gradient in 16 bits, which takes the logits' own place where nothing else reads
    them: with the likelihood a kernel reads them by rows, and it has a buffer of its own.
    Source: the wrapper that torch 2.5.1's Inductor generates of 6b2fd02d for an A100 (no card is asked for that).
    """
    rows = chunk.view(-1, chunk.size(-1))
    logits = rows @ weight.t()
    most, total = (torch.empty(len(rows), device=chunk.device) for _ in range(2))
    scattered = torch.empty(logits.shape, dtype=torch.float32, device=chunk.device)
    gradient = torch.empty_like(logits) if likely else logits
    del scattered, most, total, logits
    found = gradient @ weight
    grad_weight.add_(gradient.t() @ rows)
    return found.view(chunk.shape)
