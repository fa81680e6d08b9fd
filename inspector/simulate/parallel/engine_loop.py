"""A loop of DeepSpeed's own examples: its engine around a model that is no transformer of transformers'."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from inspector.architecture.quiet import quiet
from inspector.simulate.device.cuda import as_on
from inspector.simulate.device.kernels import cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.parallel.collectives import collectives
from inspector.simulate.parallel.rank_trace import RankTrace
from inspector.simulate.parallel.rank_tracer import RankTracer
from inspector.simulate.parallel.world import as_rank
from inspector.simulate.parallel.zero import Zero
from inspector.simulate.program.encoder_stack import CHECKPOINT, EncoderStack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.simulate.setup.engine_words import EngineLoop
    from inspector.simulate.setup.parallel import ParallelSetup

STEPS = 4
"""One more than DeepSpeed needs to be steady."""


def trace_engines(
    loop: EngineLoop,
    parallel: ParallelSetup,
    capability: tuple[int, int],
    multiprocessors: int,
    ranks: Sequence[int],
) -> list[RankTrace]:
    """A trace of each rank, from the model on the CPU on. ``parallel.deepspeed`` is the example's config."""
    return [_trace(loop, parallel, capability, multiprocessors, rank) for rank in ranks]


def _trace(
    loop: EngineLoop, parallel: ParallelSetup, capability: tuple[int, int], multiprocessors: int, rank: int
) -> RankTrace:
    device = Device(capability, multiprocessors)
    with quiet():
        tracer = RankTracer(cuda_kernels(device), cards=parallel.world_size // parallel.nodes)
    spread = Zero(parallel, tracer)
    with (
        as_on(device, tracer.page, autocast=loop.autocast) as autocast,
        as_rank(tracer, rank, parallel.world_size),
        spread.surroundings(),
    ):
        carried = autocast.carried(CHECKPOINT) if autocast else CHECKPOINT
        with torch.device("meta"):
            model = EncoderStack(loop.sizes, carried if loop.checkpointing else None)
        spread.starts_on_two_devices()
        tracer.on_the_host([*model.parameters(), *model.buffers()])
        tracer.mark("load", -1)
        with tracer:
            _steps(loop, spread.engine_of(model), autocast, tracer)
    return RankTrace(
        rank=rank, world_size=parallel.world_size, events=tracer.events(), steps=STEPS,
        collectives=collectives(tracer.messages[STEPS - 1]), streams=tuple(tracer.streams.names),
        host_bytes=tracer.host.most, notes=tuple(tracer.notes), questions=device.questions,
    )  # fmt: skip


def _steps(loop: EngineLoop, engine: Any, autocast: Any, tracer: RankTracer) -> None:
    engine.train()
    measured = nn.CrossEntropyLoss()
    shape = (loop.batch, loop.seq_len)
    for step in range(STEPS):
        tracer.mark("forward", step)
        ids = torch.empty(shape, dtype=torch.long, device=tracer.device)
        labels = torch.empty(shape, dtype=torch.long, device=tracer.device)
        with autocast() if autocast else nullcontext():
            logits = engine(ids)
            loss = measured(logits.view(-1, loop.sizes.vocab), labels.view(-1))
        tracer.mark("backward", step)
        engine.backward(loss)
        tracer.mark("optimizer", step)
        engine.step()
    # As a script ends: with its last logits and loss in its variables.
    tracer.stop()
