"""One rank among those that `torchrun` started: its group, and the model in the wrapper of a way to share it."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.simulate.setup.parallel import ParallelSetup, read

if TYPE_CHECKING:
    import torch
    from torch import nn

    from inspector.measure.spec import MeasureSpec
    from inspector.simulate.parallel.rank_tracer import RankTracer

WAYS = ("ddp", "fsdp1", "fsdp2")
"""What is measured; others are simulated alone."""


def ranks_said() -> tuple[int, int]:
    """This process's number and how many there are, as its launcher says. Raises InspectorError without one."""
    rank, world = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    if not (rank.isdecimal() and world.isdecimal()):
        raise InspectorError(
            "--parallel measures one rank of several, and no launcher has started this process",
            hint="torchrun --nproc-per-node 2 -m inspector measure MODEL --step --parallel fsdp2",
        )
    return int(rank), int(world)


def card_said() -> str:
    """The card of this process on its machine."""
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


def begin(device: torch.device) -> None:
    """Meet the other ranks: over NCCL on cards, over gloo on the CPU."""
    import torch
    import torch.distributed as dist

    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def end() -> None:
    """Part from them."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def setup_of(spec: MeasureSpec) -> ParallelSetup:
    """How a spec shares its model."""
    return read(spec.parallel, spec.world_size)


def spread(model: nn.Module, spec: MeasureSpec, device: torch.device, tracer: RankTracer | None = None) -> Any:
    """The model as one rank trains it, in the library's wrapper; on ``tracer`` where it is simulated."""
    from torch.nn.parallel import DistributedDataParallel

    from inspector.simulate.parallel.ddp import DataParallel
    from inspector.simulate.parallel.fsdp1 import FlatSharded
    from inspector.simulate.parallel.fsdp2 import FullyShard

    setup = setup_of(spec)
    if setup.strategy == "ddp" and tracer is None:
        return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)
    ways: dict[str, type[DataParallel | FlatSharded | FullyShard]] = {
        "ddp": DataParallel, "fsdp1": FlatSharded, "fsdp2": FullyShard,
    }  # fmt: skip
    way = ways[setup.strategy]
    # What the wrapper moves to the card it moves itself.
    stand_in: Any = SimpleNamespace(
        device=str(device) if setup.strategy == "fsdp1" else device.type, arrive=lambda _tensors: None
    )
    wrapped = way.__new__(way)
    wrapped.parallel, wrapped.tracer = setup, tracer or stand_in
    return wrapped.wrap(model)
