"""Liger-Kernel's benchmark of a loss alone, the plain PyTorch side: a head, its loss, forward and backward.

Sources: linkedin/Liger-Kernel, November 2024, benchmark/scripts/benchmark_cross_entropy.py,
benchmark_fused_linear_cross_entropy.py, benchmark_{orpo,cpo,simpo}_loss.py and utils.py, ``_test_memory``; the losses
are test/utils.py, ``HFAlignmentLoss``, and test/chunked_loss/test_{orpo,cpo}_loss.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from inspector.simulate.device.cuda import as_on
from inspector.simulate.device.kernels import cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.tracing.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.simulate.events import Event

ROUNDS = 3
"""The script takes the median of ten: the first round has no gradients yet, the others are alike."""
_BETA, _GAMMA = 0.1, 0.5


@dataclass(frozen=True, slots=True)
class LossBenchmark:
    """One point of a benchmark.

    ``hidden`` is 0 where logits are given and there is no head; then all ``batch`` x ``seq`` rows are logits of
    ``vocab``. ``objective`` is that of the loss: ``sft``, ``orpo``, ``cpo`` or ``simpo``; of pairs
    the first half of a batch is chosen.
    """

    objective: str
    batch: int
    seq: int
    vocab: int
    hidden: int
    dtype: str


def trace_loss_benchmark(point: LossBenchmark, capability: tuple[int, int], multiprocessors: int) -> tuple[Event, ...]:
    """The events of ``ROUNDS`` rounds on a card, each a step whose stage ``forward`` resets the peak."""
    device = Device(capability, multiprocessors)
    tracer = Tracer(cuda_kernels(device))
    with as_on(device, tracer.page), tracer:
        inputs, forward = _made(point, getattr(torch, point.dtype))
        for step in range(ROUNDS):
            tracer.mark("forward", step, reset=True)
            forward(inputs).backward()
    tracer.stop()
    return tracer.events()


def _made(point: LossBenchmark, dtype: torch.dtype) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """The tensor that is measured with, and the loss of it; whatever the script keeps alive lives in its closure."""
    rows = point.batch * point.seq
    if not point.hidden:
        target = torch.randint(point.vocab, (rows, 1), device="meta").squeeze(1)
        inputs = torch.empty(rows, point.vocab, dtype=dtype, device="meta", requires_grad=True)
        return inputs, lambda logits: functional.cross_entropy(logits, target)
    # The script makes both providers' modules before it measures one.
    heads = [torch.nn.Linear(point.hidden, point.vocab, bias=False, dtype=dtype, device="meta") for _ in range(2)]
    if point.objective == "sft":
        target = torch.randint(point.vocab, (rows, 1), device="meta").squeeze(1)
        inputs = torch.empty(rows, point.hidden, dtype=dtype, device="meta", requires_grad=True)
        return inputs, lambda states: functional.cross_entropy(heads[0](states), target)
    shape = (point.batch, point.seq)
    labels = torch.randint(point.vocab, shape, device="meta")
    inputs = torch.empty(*shape, point.hidden, dtype=dtype, device="meta", requires_grad=True)
    return inputs, lambda states: _of_pairs(point.objective, states, heads[0].weight, labels)


def _of_pairs(objective: str, states: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """``HFAlignmentLoss.get_batch_loss_metrics``; ``states``: (batch, seq, hidden), ``labels``: (batch, seq)."""
    chosen = states.shape[0] // 2
    outputs = states @ weight.t()
    logits = outputs.float()
    vocab = logits.shape[-1]
    nll = functional.cross_entropy(logits[:chosen].view(-1, vocab), labels[:chosen].view(-1))
    mask = labels != -100
    kept = torch.where(labels == -100, 0, labels)
    each = torch.gather(logits.log_softmax(-1), dim=2, index=kept.unsqueeze(2)).squeeze(2)
    log_probs = (each * mask).sum(-1) / mask.sum(-1)
    return nll - _preference(objective, log_probs[:chosen], log_probs[chosen:]).mean()


def _preference(objective: str, chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
    """``alignment_loss`` of each pair."""
    margin = chosen - rejected
    if objective == "orpo":
        margin = margin - (torch.log1p(-torch.exp(chosen)) - torch.log1p(-torch.exp(rejected)))
        return _BETA * functional.logsigmoid(margin)
    if objective == "simpo":
        margin = margin - _GAMMA / _BETA
    return functional.logsigmoid(_BETA * margin) * 1 + functional.logsigmoid(-_BETA * margin) * 0
