"""DeepSpeed on two real ranks over gloo, and the same ranks simulated. Run, it prints what each really did."""

from __future__ import annotations

import json
import os
import sys
import warnings
from types import SimpleNamespace

import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity, profile

from tests.simulate.parallel import gloo_ranks
from tests.simulate.parallel.gloo_ranks import RANKS, Net, lowest, of_the_program

STAGES = (1, 2, 3)
EVALUATION = 30
"""Stage 3, and the evaluation after its steps instead of them."""
BATCHES = 4


class Speaks(Net):
    """What is evaluated says its logits."""

    def forward(self, ids):
        if self.training:
            return super().forward(ids)
        hidden = self.embed(ids)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.head(self.norm(hidden))


def config(stage):
    return {
        "train_micro_batch_size_per_gpu": 4,
        "gradient_accumulation_steps": 1,
        "zero_allow_untested_optimizer": True,
        "zero_optimization": {
            "stage": stage, "reduce_bucket_size": 60_000, "stage3_param_persistence_threshold": 0,
            "stage3_prefetch_bucket_size": 30_000, "overlap_comm": False, "contiguous_gradients": True,
        },
    }  # fmt: skip


def engine(stage, model):
    import deepspeed

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=False)
    return deepspeed.initialize(model=model, optimizer=optimizer, config=config(stage), dist_init_required=False)[0]


def steps(model, ids):
    for _ in range(3):
        loss = model(ids)
        model.backward(loss)
        model.step()
        del loss


def evaluated(model, ids):
    """As Trainer's loop gathers and keeps them (``evaluation_loop``), of all ranks."""
    from accelerate import PartialState
    from accelerate.utils.operations import _gpu_gather
    from transformers.trainer_pt_utils import EvalLoopContainer

    PartialState._shared_state.update(backend="nccl")  # over gloo it gathers a list
    held = [EvalLoopContainer(do_nested_concat=True, padding_index=-100) for _ in range(3)]
    model.eval()
    for _ in range(BATCHES):
        with torch.no_grad():
            logits = model(ids)
            loss = logits.logsumexp(-1).mean()
        losses = _gpu_gather(loss.repeat(len(ids)))
        held[0].add(losses)
        logits = _gpu_gather(logits)
        labels = _gpu_gather(ids)
        held[1].add(logits)
        held[2].add(labels)
        del losses, logits, labels


def real(stage, rank, store):
    """Bytes in order as this rank's profiler saw them; those freed are below zero."""
    import deepspeed
    from deepspeed.comm import torch as over_torch

    over_torch.build_shm_op = lambda: None  # a kernel for ranks of one machine, which would be compiled for minutes
    dist.init_process_group("gloo", store=store, rank=rank, world_size=RANKS)
    deepspeed.init_distributed(dist_backend="gloo", dist_init_required=False)
    if stage == EVALUATION:
        from accelerate import PartialState

        world = str(RANKS)
        os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=world, LOCAL_WORLD_SIZE=world)
        PartialState(cpu=True, backend="gloo")
        gather = dist.all_gather_into_tensor
        dist.all_gather_into_tensor = lambda whole, part, *more: gather(whole.view(-1), part.view(-1), *more)

    def once():
        model, ids = engine(min(stage, 3), Speaks()), torch.zeros(4, 16, dtype=torch.long)
        if stage == EVALUATION:
            steps(model, ids)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True, with_stack=False) as profiled:
            (evaluated if stage == EVALUATION else steps)(model, ids)
        return list(of_the_program(profiled.profiler.kineto_results.experimental_event_tree()))

    return lowest(once)


def simulated(stage, rank):
    """The same of a rank without others: each size, and what made it."""
    from inspector.simulate.device.autocast import no_autocast
    from inspector.simulate.device.kernels import cpu_kernels
    from inspector.simulate.parallel.rank_tracer import RankTracer
    from inspector.simulate.parallel.spreading import Spread
    from inspector.simulate.parallel.world import as_rank
    from inspector.simulate.parallel.zero_world import as_zero_rank
    from inspector.simulate.program.evaluation import Evaluation
    from inspector.simulate.setup.evaluation import EvalSetup

    def gathered(tensor):
        return Spread.gathered(SimpleNamespace(parallel=SimpleNamespace(world_size=RANKS)), tensor)

    def said(model, ids):
        with torch.no_grad():
            logits = model(ids)
            return logits.logsumexp(-1).mean(), logits, ids

    tracer = RankTracer(cpu_kernels(), cards=RANKS)
    with as_rank(tracer, rank, RANKS), as_zero_rank(tracer, synchronized=True):
        with torch.device("meta"):
            model, ids = Speaks(), torch.empty((4, 16), dtype=torch.long)
        tracer.ignore([*model.parameters(), *model.buffers(), ids])
        with no_autocast(), tracer:
            model = engine(min(stage, 3), model)
            tracer.mark("forward", 0)
            steps(model, ids)
            if stage == EVALUATION:
                model.eval()
                tracer.mark("evaluation", 0)
                Evaluation(EvalSetup(4, BATCHES, "logits"), lambda: said(model, ids), tracer, gathered).run()
        tracer.stop()
    return gloo_ranks.sizes_of(tracer.events())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    os.environ.update(DS_ACCELERATOR="cpu", LOCAL_RANK="0")
    gloo_ranks.real = real
    out, sys.stdout = sys.stdout, sys.stderr
    import deepspeed  # noqa: F401 -- once, before the ranks are forked

    found = {stage: gloo_ranks.measured(stage) for stage in map(int, sys.argv[1:] or (*STAGES, EVALUATION))}
    out.write(json.dumps(found) + "\n")
