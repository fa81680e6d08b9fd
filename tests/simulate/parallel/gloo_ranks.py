"""Two real ranks over gloo on the CPU, and the same two as they are simulated: what a step allocates and frees.

``python -m tests.simulate.parallel.gloo_ranks WAY ...`` prints what the profiler saw, for each way a list a rank.
"""

from __future__ import annotations

import json
import os
import sys
import warnings

import torch
import torch.distributed as dist
from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile

from tests.simulate.cpu_sizes import WRAPPED_NUMBER, levels

RANKS = 2


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = torch.nn.Linear(32, 96), torch.nn.Linear(96, 32)

    def forward(self, hidden):
        return hidden + self.down(torch.nn.functional.gelu(self.up(hidden)))


class Net(torch.nn.Module):
    """A few layers, with a vocabulary that two ranks cannot share evenly."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(61, 32)
        self.layers = torch.nn.ModuleList([Layer() for _ in range(3)])
        self.norm, self.head = torch.nn.LayerNorm(32), torch.nn.Linear(32, 61, bias=False)

    def forward(self, ids):
        hidden = self.embed(ids)
        for layer in self.layers:
            hidden = layer(hidden)
        return self.head(self.norm(hidden)).logsumexp(-1).mean()


def ddp(model, device, **more):
    from torch.nn.parallel import DistributedDataParallel

    wrapped = DistributedDataParallel(model, **more)
    if device == "meta":
        wrapped.register_comm_hook(None, lambda state, bucket: summed(bucket.buffer()))  # noqa: ARG005
    return wrapped


def ddp_views(model, device):
    return ddp(model, device, gradient_as_bucket_view=True, static_graph=True)


def ddp_small(model, device):
    return ddp(model, device, bucket_cap_mb=0.02, find_unused_parameters=True)


def hsdp(model, device):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device, (RANKS, 1), mesh_dim_names=("replicas", "shards"))
    for layer in model.layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def summed(buffer):
    """What DDP does without a hook; the work of a fake group has no result."""
    dist.all_reduce(buffer)
    done = torch.futures.Future()
    done.set_result(buffer)
    return done


def fsdp2(model, device):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device, (RANKS,))
    for layer in model.layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def fsdp1(model, device, **more):
    from torch.distributed.fsdp import FullyShardedDataParallel
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy

    policy = ModuleWrapPolicy({Layer})
    return FullyShardedDataParallel(model, auto_wrap_policy=policy, device_id=torch.device(device), **more)


def fsdp1_mixed(model, device):
    from torch.distributed.fsdp import MixedPrecision

    # As float32 beside bfloat16, whose products have scratch memory on a CPU.
    mixed = MixedPrecision(param_dtype=torch.float32, reduce_dtype=torch.float64)
    return fsdp1(model.double(), device, mixed_precision=mixed)


def fsdp2_mixed(model, device):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    given = {"mesh": init_device_mesh(device, (RANKS,)), "reshard_after_forward": False,
             "mp_policy": MixedPrecisionPolicy(param_dtype=torch.float32, reduce_dtype=torch.float64)}  # fmt: skip
    for layer in model.double().layers:
        fully_shard(layer, **given)
    return fully_shard(model, **given)


WAYS = {
    "ddp": ddp, "ddp views": ddp_views, "ddp small": ddp_small, "fsdp2": fsdp2, "fsdp1": fsdp1,
    "fsdp1 mixed": fsdp1_mixed, "fsdp2 mixed": fsdp2_mixed, "hsdp": hsdp,
}  # fmt: skip


def steps(model, ids):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=False)
    for _ in range(2):
        loss = model(ids)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        del loss


def real(way, rank, store):
    """Bytes in order as this rank's profiler saw them; those freed are below zero."""
    dist.init_process_group("gloo", store=store, rank=rank, world_size=RANKS)

    def once():
        model, ids = WAYS[way](Net(), "cpu"), torch.zeros(4, 16, dtype=torch.long)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True, with_stack=False) as profiled:
            steps(model, ids)
        return list(of_the_program(profiled.profiler.kineto_results.experimental_event_tree()))

    return lowest(once)


def lowest(once, above=WRAPPED_NUMBER):
    """What the program takes: a thread of gloo's may hold what it has sent a moment longer, now and then.

    The lowest, once it has been seen twice; all ranks go on until each has, a dozen times at most.
    """
    seen = []
    for _ in range(12):
        seen.append(once())
        found = sorted(levels(each, above) for each in seen)
        unsure = torch.tensor(int(len(found) < 2 or found[0] != found[1]))
        dist.all_reduce(unsure)
        if not unsure:
            break
    return min(seen, key=lambda each: levels(each, above))


def of_the_program(roots):
    """Sizes of what was allocated and freed, but for the copies that gloo makes of what it sends."""
    found = []

    def walk(event, sends):
        sends = sends or event.name.startswith(("c10d::", "gloo:", "record_param_comms"))
        if event.tag == _EventType.Allocation:
            found.append((event.start_time_ns, event.extra_fields.ptr, event.extra_fields.alloc_size, sends))
        for child in event.children:
            walk(child, sends)

    for root in roots:
        walk(root, False)
    alive = {}
    for _, address, nbytes, sends in sorted(found):
        if nbytes > 0:
            alive[address] = sends
        # What was there before is let go by a thread of gloo's, at some time.
        elif address not in alive:
            continue
        if not alive[address]:
            yield nbytes
        if nbytes < 0:
            del alive[address]


def simulated(way, rank):
    """The same of a rank without others: each size, and what made it."""
    from inspector.simulate.device.autocast import no_autocast
    from inspector.simulate.device.kernels import cpu_kernels
    from inspector.simulate.parallel.rank_tracer import RankTracer
    from inspector.simulate.parallel.world import as_rank

    tracer = RankTracer(cpu_kernels(), cards=RANKS)
    with as_rank(tracer, rank, RANKS):
        with torch.device("meta"):
            model, ids = Net(), torch.empty((4, 16), dtype=torch.long)
        tracer.ignore([*model.parameters(), *model.buffers(), ids])
        with no_autocast(), tracer:
            model = WAYS[way](model, "meta")
            tracer.mark("forward", 0)
            steps(model, ids)
        tracer.stop()
    return sizes_of(tracer.events())


def sizes_of(events):
    """Each size from the last mark on, and what made it; those freed are below zero."""
    from inspector.simulate.events import Alloc, Free, Mark

    made, sizes = {}, []
    for event in events:
        if isinstance(event, Mark):
            made, sizes = {}, []
        elif isinstance(event, Alloc):
            made[event.block] = event
            sizes.append((event.nbytes, event.source))
        elif isinstance(event, Free) and event.block in made:
            sizes.append((-made[event.block].nbytes, made[event.block].source))
    return sizes


def measured(way):
    """One list a rank, each from a process of its own; this one is the store's master, and no rank."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    ends = [fork(way, rank, store.port) for rank in range(RANKS)]
    found = []
    for end, child in ends:
        with os.fdopen(end) as stream:
            found.append(json.loads(stream.read() or "null"))
        os.waitpid(child, 0)
    return found


def fork(way, rank, port):
    end, mine = os.pipe()
    child = os.fork()
    if not child:
        os.close(end)
        torch.set_num_threads(1)
        # What gloo and the profiler say of themselves is nobody's.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with os.fdopen(mine, "w") as stream:
            json.dump(real(way, rank, dist.TCPStore("127.0.0.1", port, is_master=False)), stream)
        os._exit(0)
    os.close(mine)
    return end, child


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.stdout.write(json.dumps({way: measured(way) for way in sys.argv[1:]}) + "\n")
