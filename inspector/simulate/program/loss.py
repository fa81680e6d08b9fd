"""The loss: as the installed transformers computes it, as older ones did, in chunks, or fused with the head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import checkpoint

from inspector.errors import InspectorError
from inspector.simulate.program.liger import fused_linear_cross_entropy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from transformers import PreTrainedModel

    from inspector.simulate.program.autograd_context import Context
    from inspector.simulate.setup.training import LoopSetup
    from inspector.simulate.tracing.tracer import Tracer

CHUNK = 256
"""Tokens of which a chunked loss makes logits at a time, as TRL's ``chunked_nll`` did before TRL 1."""


def use_loss(model: PreTrainedModel, setup: LoopSetup, tracer: Tracer, again: Callable[..., Any] = checkpoint) -> None:
    """Make the model compute its loss the way the setup says; ``full`` leaves it to transformers.

    ``again`` is the checkpointing function of a chunk: one that recomputes under autocast where the step has it.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if setup.loss == "shifted":
        base.loss_function = shifted_loss
    elif setup.loss == "upcast":
        base.loss_function = lambda logits, labels, vocab_size, **_: upcast_loss(logits, labels, vocab_size, tracer)
    elif setup.loss == "chunked":
        _without_logits(base, lambda hidden, labels, weight: chunked_loss(hidden, labels, weight, again))
    elif setup.loss == "liger":
        _without_logits(base, liger_loss)
    elif setup.loss == "trl":
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(setup.autocast)
        _without_logits(base, lambda hidden, labels, weight: trl_loss(hidden, labels, weight, dtype))


def _without_logits(base: PreTrainedModel, loss: Callable[..., torch.Tensor]) -> None:
    """The head hands the hidden states on, and the loss multiplies them with the head's weight itself."""
    head = base.get_output_embeddings()
    if head is None or not hasattr(base, "loss_function"):
        raise InspectorError(f"{type(base).__name__} has no output head to fuse a loss with", hint="use --loss full")
    head.forward = lambda hidden: hidden
    # The model takes what the head returns for logits and hands it on, so the hidden states arrive here.
    base.loss_function = lambda logits, labels, *_, **__: loss(logits, labels, whole(head.weight))


def whole(weight: torch.Tensor) -> Any:
    """A head's weight, all of it: where the head is a unit of its own, FSDP2 has cut what nobody calls.

    Source: trl 1.16 trl/trainer/utils.py, ``add_fused_lm_head``, "Gather the head once".
    """
    cut = getattr(weight, "full_tensor", None)
    return weight if cut is None else cut()


def _rows(hidden: torch.Tensor, labels: torch.Tensor) -> tuple[Any, Any]:
    """Hidden states as rows, and the labels of the next tokens, padded as ``ForCausalLMLoss`` pads them."""
    targets = torch.nn.functional.pad(labels, (0, 1), value=-100)[..., 1:].contiguous().view(-1)
    return hidden.reshape(-1, hidden.size(-1)), targets


def chunked_loss(
    hidden: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, again: Callable[..., Any] = checkpoint
) -> Any:
    """Logits of one chunk at a time, made again in the backward pass."""
    rows, targets = _rows(hidden, labels)

    def part(some: torch.Tensor, wanted: torch.Tensor) -> Any:
        # The hidden states may be wider than the head: norms in float32 hand on float32.
        logits = torch.nn.functional.linear(some.to(weight.dtype), weight).float()
        return torch.nn.functional.cross_entropy(logits, wanted, ignore_index=-100, reduction="sum")

    total = sum(
        again(part, some, wanted, use_reentrant=False)
        for some, wanted in zip(rows.split(CHUNK), targets.split(CHUNK), strict=True)
    )
    return total / targets.numel()


def liger_loss(hidden: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor) -> Any:
    """Liger's fused linear cross entropy."""
    rows, targets = _rows(hidden, labels)
    return fused_linear_cross_entropy(rows, weight, targets)


def trl_loss(hidden: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, dtype: torch.dtype | None = None) -> Any:
    """SFTTrainer's own since TRL 1: log-probabilities of the labels, no logits beyond one tile.

    Source: trl 1.16 trl/trainer/utils.py, ``add_fused_lm_head``.
    """
    rows = hidden[:, :-1].reshape(-1, hidden.size(-1))
    return -_ChunkedLogProb.apply(rows, weight, labels[:, 1:].reshape(-1), dtype or hidden.dtype).mean()


def chunked_log_probs(rows: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, dtype: torch.dtype) -> list[Any]:
    """Log-probabilities of targets, and three numbers a token for the log: entropy, mean logit, whether it is the top.

    Source: trl 1.16 trl/kernels/chunked_logprob.py, with the ``outputs`` that DPO and KTO ask for.
    """
    found = _ChunkedLogProb.apply(rows, weight, targets, dtype)
    with torch.no_grad():
        return [found, torch.empty_like(found), torch.empty_like(found), torch.empty_like(found, dtype=torch.bool)]


class _ChunkedLogProb(torch.autograd.Function):
    """Tiles of logits in one buffer, folded into seven numbers a token; made again in the backward pass.

    Source: trl 1.16 trl/kernels/chunked_logprob.py, ``_ChunkedLogProbFunction`` (``TOKEN_CHUNK_SIZE``), and
    trl/trainer/utils.py (``_CHUNKED_LOGPROB_CHUNK_SIZE``). The Triton kernels that fold a tile allocate nothing.
    """

    TILE = (4096, 32768)
    STATISTICS = 7

    @staticmethod
    def forward(
        ctx: Context, rows: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, dtype: torch.dtype
    ) -> Any:
        numbers = [torch.zeros(len(rows), device=rows.device) for _ in range(_ChunkedLogProb.STATISTICS)]
        for _ in _tiles(rows, weight, dtype):
            pass
        log_z, entropy = numbers[0] + torch.log(numbers[1]), numbers[0] - numbers[2] / numbers[1]
        ctx.dtype = dtype
        ctx.save_for_backward(rows, weight, targets, log_z, entropy)
        return numbers[3] - log_z

    @staticmethod
    def backward(ctx: Context, *_: object) -> Any:
        rows, weight, *_kept = ctx.saved_tensors
        grad_rows = (
            torch.zeros(rows.shape, dtype=torch.float32, device=rows.device) if ctx.needs_input_grad[0] else None
        )
        grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        for _ in _tiles(rows, weight, ctx.dtype):  # its products are added to the gradients in place
            pass
        narrow = [
            grad if grad is None else grad.to(of.dtype) for grad, of in ((grad_rows, rows), (grad_weight, weight))
        ]
        return *narrow, None, None


def _tiles(rows: torch.Tensor, weight: torch.Tensor, dtype: torch.dtype) -> Iterator[Any]:
    tokens, columns = _ChunkedLogProb.TILE
    buffer = torch.empty((min(len(rows), tokens), columns), dtype=dtype, device=rows.device)
    for some in rows.split(tokens):
        part = some.to(dtype)
        for head in weight.split(columns):
            tile = buffer[: len(some), : len(head)]
            torch.mm(part, head.to(dtype).t(), out=tile)
            yield tile


def shifted_loss(logits: torch.Tensor, labels: torch.Tensor, vocab_size: int, **_: object) -> Any:
    """Until 4.49, transformers copied the shifted logits (``logits[..., :-1, :].contiguous()``) after the upcast.

    Source: transformers v4.48 src/transformers/loss/loss_utils.py, ``ForCausalLMLoss``.
    """
    return _shifted(logits.float(), labels, vocab_size)


def upcast_loss(logits: torch.Tensor, labels: torch.Tensor, vocab_size: int, tracer: Tracer) -> Any:
    """Until 4.46, a model's forward replaced its logits by their float32 copy before it shifted them.

    Source: transformers v4.45 src/transformers/models/granite/modeling_granite.py, ``GraniteForCausalLM.forward``.
    """
    wide = logits.float()
    # There the model's own name was rebound and the first logits died; here the caller still holds them.
    tracer.drop(logits)
    return _shifted(wide, labels, vocab_size)


def _shifted(logits: torch.Tensor, labels: torch.Tensor, vocab_size: int) -> Any:
    shifted = logits[..., :-1, :].contiguous().view(-1, vocab_size)
    targets = labels[..., 1:].contiguous().view(-1)
    return torch.nn.functional.cross_entropy(shifted, targets, ignore_index=-100)
