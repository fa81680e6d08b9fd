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
    return _Preference.apply(states, weight, labels, None, None, likely, False)


def compared(
    states: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, other: torch.Tensor, other_weight: torch.Tensor,
    *, paired: bool, scaled: bool,
) -> Any:  # fmt: skip
    """DPO's loss of pairs, or KTO's of single answers, against what a reference model sees (``other``) and its head.

    ``scaled``: a step is of several micro-batches, or losses are scaled up, so that gradients are multiplied.
    Source: chunked_loss/dpo_loss.py and kto_loss.py, 0.8.0, as TRL calls them: without the likelihood.
    """
    if paired:
        return _Preference.apply(states, weight, labels, other, other_weight, False, scaled)
    return _Unpaired.apply(states, weight, other, other_weight, scaled)


class _Preference(torch.autograd.Function):
    """Source: chunked_loss/fused_linear_preference.py, 6b2fd02d to 0.8: a pair at a time, its function compiled."""

    @staticmethod
    def forward(
        ctx: Context, states: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, other: torch.Tensor | None,
        other_weight: torch.Tensor | None, likely: bool, scaled: bool,
    ) -> Any:  # fmt: skip
        # Of a head that is not trained, too.
        grad_weight = torch.zeros_like(weight)
        loss = torch.zeros((), device=states.device)
        half = len(states) // 2
        gradients: list[list[torch.Tensor]] = [[], []]
        for pair in range(half):
            at = slice(pair, pair + 1), slice(half + pair, half + pair + 1)
            chunk = torch.cat([states[each] for each in at])
            beside = None if other is None else torch.cat([other[each] for each in at])
            _told = torch.cat([labels[each] for each in at])
            gradient = _chunk(chunk, weight, grad_weight, beside, other_weight, likely=likely)
            gradients[0].append(gradient[:1])
            gradients[1].append(gradient[1:])
        ctx.scaled = scaled
        ctx.save_for_backward(torch.cat(gradients[0] + gradients[1]), grad_weight)
        return loss

    @staticmethod
    def backward(ctx: Context, *_: object) -> Any:
        return *_multiplied(ctx), None, None, None, None, None


class _Unpaired(torch.autograd.Function):
    """Source: chunked_loss/fused_linear_unpaired_preference.py, 0.8: an answer at a time, its function compiled."""

    @staticmethod
    def forward(
        ctx: Context, states: torch.Tensor, weight: torch.Tensor, other: torch.Tensor, other_weight: torch.Tensor,
        scaled: bool,
    ) -> Any:  # fmt: skip
        grad_weight = torch.zeros_like(weight)
        loss = torch.zeros((), device=states.device)
        gradients = [
            _chunk(chunk, weight, grad_weight, beside, other_weight, paired=False)
            for chunk, beside in zip(states.split(1), other.split(1), strict=True)
        ]
        ctx.scaled = scaled
        ctx.save_for_backward(torch.cat(gradients), grad_weight)
        return loss

    @staticmethod
    def backward(ctx: Context, *_: object) -> Any:
        return *_multiplied(ctx), None, None, None


def _multiplied(ctx: Context) -> tuple[torch.Tensor, torch.Tensor]:
    """Both gradients, and copies of them where what comes back to the loss is not 1."""
    gradient, grad_weight = ctx.saved_tensors
    if ctx.scaled:
        gradient, grad_weight = gradient * 1.0, grad_weight * 1.0
    return gradient, grad_weight


def _chunk(
    chunk: torch.Tensor, weight: torch.Tensor, grad_weight: torch.Tensor, other: torch.Tensor | None = None,
    other_weight: torch.Tensor | None = None, *, likely: bool = False, paired: bool = True,
) -> torch.Tensor:  # fmt: skip
    """The buffers of a chunk's function as Inductor compiles it for a card, in their order.

    Logits, and those of the reference model; of their softmaxes two numbers a token; a float32 gradient of the logits
    for what ``gather`` scatters back, which takes the place of the reference's logits where those are as wide; and the
    logits' gradient, which takes the logits' own place where nothing else reads them: with the likelihood a kernel
    reads them by rows, and it has a buffer of its own.
    Source: the wrappers that Inductor generates for an A100, which takes no card: of 6b2fd02d by torch 2.5.1, of 0.8.0
    by torch 2.13.
    """
    rows = chunk.reshape(-1, chunk.size(-1))
    logits = rows @ weight.t()
    numbers = [torch.empty(len(rows), device=chunk.device) for _ in range(2 if other is None else 4)]
    theirs = None if other is None or other_weight is None else other.reshape(rows.shape) @ other_weight.t()
    if theirs is not None and theirs.dtype == torch.float32:
        scattered = theirs
    else:
        if paired:  # a kernel of its own has read them
            theirs = None
        scattered = torch.empty(logits.shape, dtype=torch.float32, device=chunk.device)
    theirs = None
    gradient = torch.empty_like(logits) if likely else logits
    del scattered, numbers, logits
    found = gradient @ weight
    grad_weight.add_(gradient.t() @ rows)
    return found.view(chunk.shape)


def selected(states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, *, scaled: bool) -> Any:
    """GRPO's loss of answers, (answers, tokens, hidden), of which ``targets`` are the tokens.

    Source: chunked_loss/fused_linear_ppo.py, 0.8.0: an answer at a time, of which no logits beyond one tile are made.
    """
    return _Answers.apply(states, weight, targets, scaled)


class _Answers(torch.autograd.Function):
    """``LigerFusedLinearPPOBase``; what is compiled in it is of a few numbers a token."""

    @staticmethod
    def forward(ctx: Context, states: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, scaled: bool) -> Any:
        grad_weight = torch.zeros_like(weight)
        loss = torch.zeros((), dtype=torch.float32, device=states.device)
        gradients = []
        for chunk, wanted in zip(states.split(1), targets.split(1), strict=True):
            rows = chunk.reshape(-1, chunk.size(-1)).contiguous()
            found, of_head = _selected(rows, weight, wanted.reshape(-1))
            grad_weight.add_(of_head)
            gradients.append(found.view(chunk.shape))
            del found, of_head
        ctx.scaled = scaled
        ctx.save_for_backward(torch.cat(gradients), grad_weight)
        return loss

    @staticmethod
    def backward(ctx: Context, *_: object) -> Any:
        return *_multiplied(ctx), None, None


TOKENS, COLUMNS = 2048, 4096
"""``_SELECTIVE_LOGPROB_SEQ_CHUNK_SIZE`` and ``_SELECTIVE_LOGPROB_VOCAB_CHUNK_SIZE``."""


def _selected(rows: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``_selective_logprob_forward`` and ``_selective_logprob_backward``; the gradients of states and of the head."""
    log_probs, log_z = (torch.empty(len(rows), device=rows.device) for _ in range(2))
    for some, wanted in zip(rows.split(TOKENS), targets.split(TOKENS), strict=True):
        total = torch.zeros(len(some), device=rows.device)
        for part in weight.split(COLUMNS):
            logits = (some @ part.to(some.dtype).t()).float()
            shares = torch.exp(logits)
            total = total + shares.sum(dim=-1)
            _within = (wanted >= 0) & (wanted < len(part))
        log_z[: len(some)] = log_probs[: len(some)] = total
    wide_rows, wide_weight = (torch.zeros(of.shape, device=of.device) for of in (rows, weight))
    for begin in range(0, len(rows), TOKENS):
        some = rows[begin : begin + TOKENS]
        for start in range(0, len(weight), COLUMNS):
            part = weight[start : start + COLUMNS]
            logits = (some @ part.to(some.dtype).t()).float()
            shares = torch.exp(logits - log_z[begin : begin + TOKENS].unsqueeze(-1))
            gradient = -log_probs[begin : begin + TOKENS].unsqueeze(-1) * shares
            wide_rows[begin : begin + TOKENS].add_(gradient @ part.float())
            wide_weight[start : start + COLUMNS].add_(gradient.t() @ some.float())
    return wide_rows.to(rows.dtype), wide_weight.to(weight.dtype)
