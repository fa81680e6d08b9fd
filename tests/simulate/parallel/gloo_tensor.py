"""Real ranks of transformers' own parallelism over gloo on the CPU, and the same ranks as they are simulated.

``python -m tests.simulate.parallel.gloo_tensor CASE ...`` prints what the profiler saw, for each case a list a rank.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import traceback
import warnings
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import SimpleNamespace

import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity, profile

from tests.simulate.parallel.gloo_ranks import lowest, of_the_program, sizes_of

SMALL = {
    "hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 125, "attn_implementation": "eager",
}  # fmt: skip


@dataclass
class Case:
    """One way on one model; ``said`` is what its config says besides, ``lora`` adapts it as PEFT does."""

    words: str
    ranks: int = 2
    model_type: str = "llama"
    said: dict = field(default_factory=dict)
    lora: bool = False


# All experts are asked of every token: what goes where is then no matter of data.
EVERY = {"num_experts": 4, "num_experts_per_tok": 4, "moe_intermediate_size": 48, "head_dim": 16,
         "experts_implementation": "eager"}  # fmt: skip
CASES = {
    "tp": Case("tp:2"),
    "tp tied": Case("tp:2", said={"tie_word_embeddings": True}),
    "tp lora": Case("tp:2", lora=True),
    "tp uneven": Case("tp:2", said={"intermediate_size": 177}),
    "tp qwen2": Case("tp:2", model_type="qwen2"),
    "tp fsdp2": Case("tp:2+fsdp2", ranks=4),
    "ep": Case("ep:2", model_type="qwen3_moe", said=EVERY),
    "ep fsdp2": Case("ep:2+fsdp2", ranks=4, model_type="qwen3_moe", said=EVERY),
    "tp fsdp2 tied": Case("tp:2+fsdp2", ranks=4, said={"tie_word_embeddings": True}),
}


def config_of(case):
    from transformers import AutoConfig

    return AutoConfig.for_model(case.model_type, **{**SMALL, **case.said})


def adapted(case, model):
    if not case.lora:
        return model
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))


def loop(model, ids):
    """Two steps as Trainer makes them: weights of one mesh are one group, and one norm."""
    from torch.distributed.tensor import DTensor
    from transformers import Trainer

    meshes = defaultdict(list)
    for parameter in model.parameters():
        if parameter.requires_grad:
            meshes[parameter.device_mesh if isinstance(parameter, DTensor) else None].append(parameter)
    optimizer = torch.optim.AdamW([{"params": group} for group in meshes.values()], lr=1e-4, foreach=False)
    model.train()
    for _ in range(2):
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        Trainer._mixed_mesh_grad_norm(None, model, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        del loss


def real(name, rank, folder, store):
    """Bytes in order as this rank's profiler saw them; those freed are below zero."""
    from transformers import AutoModelForCausalLM
    from transformers.distributed import DistributedConfig

    case = CASES[name]
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(case.ranks))
    dist.init_process_group("gloo", store=store, rank=rank, world_size=case.ranks)
    said = asked(case)
    sizes = DistributedConfig(**way_of(said)(said, SimpleNamespace()).sizes())

    def once():
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            distributed_config=sizes,
            dtype=torch.float32,
            attn_implementation="eager",
            **({"experts_implementation": "eager"} if said.ep > 1 else {}),
        )
        model, ids = adapted(case, model), torch.zeros(2, 16, dtype=torch.long)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True, with_stack=False) as profiled:
            loop(model, ids)
        return list(of_the_program(profiled.profiler.kineto_results.experimental_event_tree()))

    return lowest(once)


def asked(case):
    from inspector.simulate.setup.parallel import read

    return read(case.words, case.ranks)


def way_of(said):
    from inspector.simulate.parallel.experts import ExpertParallel
    from inspector.simulate.parallel.tensor import TensorParallel

    return ExpertParallel if said.ep > 1 else TensorParallel


def simulated(name, rank):
    """The same of a rank without others: each size, and what made it."""
    import bitsandbytes  # noqa: F401 -- it makes tables as it is imported, which Trainer does at some time
    from transformers import AutoModelForCausalLM

    from inspector.architecture.own_random import own_random_numbers
    from inspector.simulate.device.autocast import no_autocast
    from inspector.simulate.device.kernels import cpu_kernels
    from inspector.simulate.parallel.rank_tracer import RankTracer
    from inspector.simulate.parallel.world import as_rank
    from inspector.simulate.program import routing

    case = CASES[name]
    tracer = RankTracer(cpu_kernels(), cards=case.ranks)
    with as_rank(tracer, rank, case.ranks), ExitStack() as stack:
        with torch.device("meta"):
            model, ids = AutoModelForCausalLM.from_config(config_of(case)), torch.empty((2, 16), dtype=torch.long)
        tracer.ignore([*model.parameters(), *model.buffers(), ids])
        spread = way_of(asked(case))(asked(case), tracer)
        routing.install(tracer, config_of(case).to_dict(), "balanced", shared_by=asked(case).ep)
        spread.loads(model, None)
        for context in (spread.surroundings(), own_random_numbers(), no_autocast(), tracer):
            stack.enter_context(context)
        model = adapted(case, model)
        tracer.mark("forward", 0)
        loop(model, ids)
        tracer.stop()
    return sizes_of(tracer.events())


def measured(name):
    """One list a rank, each from a process of its own; this one is the store's master, and no rank."""
    from transformers import AutoModelForCausalLM

    case = CASES[name]
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with tempfile.TemporaryDirectory() as folder:
        AutoModelForCausalLM.from_config(config_of(case)).save_pretrained(folder)
        ends = [fork(name, rank, folder, store.port) for rank in range(case.ranks)]
        found = []
        for end, child in ends:
            with os.fdopen(end) as stream:
                found.append(json.loads(stream.read() or "null"))
            os.waitpid(child, 0)
    return found


def fork(name, rank, folder, port):
    end, mine = os.pipe()
    child = os.fork()
    if not child:
        os.close(end)
        torch.set_num_threads(1)
        if "GLOO_SAYS" not in os.environ:
            # What gloo and the profiler say of themselves is nobody's.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        try:
            with os.fdopen(mine, "w") as stream:
                json.dump(real(name, rank, folder, dist.TCPStore("127.0.0.1", port, is_master=False)), stream)
        except Exception:  # noqa: BLE001 -- a process of its own says what it was
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(0)
    os.close(mine)
    return end, child


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # before the first product: a child would wait for threads that it has not
    sys.stdout.write(json.dumps({name: measured(name) for name in sys.argv[1:]}) + "\n")
