"""Liger-Kernel's benchmark of a loss alone, plain PyTorch's or its own: a head, its loss, forward and backward.

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
from inspector.simulate.program import liger
from inspector.simulate.tracing.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.simulate.events import Event

ROUNDS = 3
"""The script takes the median of ten: the first round has no gradients yet, the others are alike."""
_BETA, _GAMMA = 0.1, 0.5
_COMPILED_LAST = 4
"""Sequences for which the script compiles Liger's loss a second and last time: its batches are 2, 4, 8 and 16."""


@dataclass(frozen=True, slots=True)
class LossBenchmark:
    """One point of a benchmark.

    ``hidden`` is 0 where logits are given and there is no head; then all ``batch`` x ``seq`` rows are logits of
    ``vocab``. ``objective`` is that of the loss: ``sft``, ``orpo``, ``cpo`` or ``simpo``; of pairs
    the first half of a batch is chosen. ``liger``: by its kernels.
    """

    objective: str
    batch: int
    seq: int
    vocab: int
    hidden: int
    dtype: str
    liger: bool = False


def trace_loss_benchmark(point: LossBenchmark, capability: tuple[int, int], multiprocessors: int) -> tuple[Event, ...]:
    """The events of ``ROUNDS`` rounds on a card, each a step whose stage ``forward`` resets the peak."""
    device = Device(capability, multiprocessors)
    tracer = Tracer(cuda_kernels(device))
    dtype = getattr(torch, point.dtype)
    with as_on(device, tracer.page), tracer:
        if point.hidden:
            _workspaces()
        _left = _left_of_compiling(point, dtype) if point.objective != "sft" else []
        inputs, forward = _made(point, dtype)
        for step in range(ROUNDS):
            tracer.mark("forward", step, reset=True)
            forward(inputs).backward()
    tracer.stop()
    return tracer.events()


def _workspaces() -> None:
    """The script times both losses before it weighs one, so that both threads have their cuBLAS workspaces."""
    one = torch.empty(1, 1, dtype=torch.bfloat16, device="meta", requires_grad=True)
    (one @ one.t()).sum().backward()


def _left_of_compiling(point: LossBenchmark, dtype: torch.dtype) -> list[torch.Tensor]:
    """What the script has on the card before it measures anything: the arguments of a function that was compiled.

    The script times Liger's loss before it weighs either, and that compiles ``accumulate_chunk`` for one pair, then
    again, as batches grow, for two. Dynamo's translators hold the frame that they read (``f_locals``) and one another,
    until Python looks for circles, which nothing later brings about. Of the frame are the head and its gradient, a
    pair's states, and the loss, by whose graph all states and their gradients are there too.
    Sources: linkedin/Liger-Kernel 6b2fd02d, src/liger_kernel/chunked_loss/fused_linear_preference.py, ``forward``;
    torch 2.5.1 torch/_dynamo/symbolic_convert.py, ``InstructionTranslatorBase``. Seen on a CPU, with torch 2.5.1, by
    asking Python's collector what is alive.
    """
    states = torch.empty(_COMPILED_LAST, point.seq, point.hidden, dtype=dtype, device="meta")
    weight = torch.empty(point.vocab, point.hidden, dtype=dtype, device="meta")
    labels = torch.empty(_COMPILED_LAST, point.seq, dtype=torch.int64, device="meta")
    pair = states[:2].clone(), labels[:2].clone()
    loss = torch.zeros((), device="meta")
    return [states, weight, labels, *pair, loss, torch.zeros_like(weight), torch.empty_like(states)]


def _made(point: LossBenchmark, dtype: torch.dtype) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """The tensor that is measured with, and the loss of it; whatever the script keeps alive lives in its closure."""
    rows = point.batch * point.seq
    if not point.hidden:
        target = torch.randint(point.vocab, (rows, 1), device="meta").squeeze(1)
        inputs = torch.empty(rows, point.vocab, dtype=dtype, device="meta", requires_grad=True)
        loss = liger.cross_entropy if point.liger else functional.cross_entropy
        return inputs, lambda logits: loss(logits, target)
    # The script makes both providers' modules before it measures one.
    heads = [torch.nn.Linear(point.hidden, point.vocab, bias=False, dtype=dtype, device="meta") for _ in range(2)]
    if point.objective == "sft":
        target = torch.randint(point.vocab, (rows, 1), device="meta").squeeze(1)
        inputs = torch.empty(rows, point.hidden, dtype=dtype, device="meta", requires_grad=True)
        if point.liger:
            return inputs, lambda rows: liger.fused_linear_cross_entropy(rows, heads[1].weight, target, upcast=True)
        return inputs, lambda states: functional.cross_entropy(heads[0](states), target)
    shape = (point.batch, point.seq)
    labels = torch.randint(point.vocab, shape, device="meta")
    inputs = torch.empty(*shape, point.hidden, dtype=dtype, device="meta", requires_grad=True)
    if point.liger:
        likely = point.objective != "simpo"
        return inputs, lambda states: liger.preference(states, heads[1].weight, labels, likely=likely)
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
