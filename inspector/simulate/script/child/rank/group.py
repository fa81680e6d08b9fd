"""``torch.distributed`` of a rank without others: its groups are PyTorch's fake ones, under the asked names."""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore

from inspector.errors import InspectorError
from inspector.simulate.parallel.collectives import know_shapes
from inspector.simulate.script.child.errors import handed_on
from inspector.simulate.script.child.replaced import replace

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.simulate.script.child.rank.exchanged import Exchange

_FAKE = {
    "nccl": "cuda:fake", "gloo": "cpu:fake,cuda:fake", "undefined": "cpu:fake,cuda:fake", "fake": "cpu:fake,cuda:fake",
}  # fmt: skip
"""What stands in for a backend: gloo takes tensors of both, and no backend said makes one for each."""


def install(exchange: Exchange) -> None:
    """Put all of it in its place."""
    from torch.testing._internal.distributed import fake_pg  # noqa: F401 -- registers its backend

    know_shapes()
    c10d = "torch.distributed.distributed_c10d"
    make: Any = dist.distributed_c10d._new_process_group_helper

    @functools.wraps(make)
    def group(
        size: int, rank: int, ranks: object, backend: object, store: object, *args: object, **kwargs: object
    ) -> Any:
        kwargs["backend_options"] = None  # they are NCCL's
        made, prefix = handed_on(make, size, rank, ranks, _fake(str(backend)), store, *args, **kwargs)
        if made is not dist.GroupMember.NON_GROUP_MEMBER:
            made._set_default_backend(dist.ProcessGroup.BackendType.CUSTOM)
        world: Any = dist.distributed_c10d._world
        if made in world.pg_map:
            world.pg_map[made] = (str(backend), world.pg_map[made][1])
        return made, prefix

    replace(f"{c10d}._new_process_group_helper", group)
    # As where PyTorch was built with NCCL (torch/distributed/constants.py).
    replace(f"{c10d}.default_pg_nccl_timeout", timedelta(minutes=10))
    replace("torch.distributed.rendezvous._create_c10d_store", lambda *_, **__: HashStore())
    for name in ("all_reduce", "reduce", "reduce_scatter", "reduce_scatter_tensor", "reduce_scatter_single"):
        told = getattr(dist, name, None)
        if told is not None:
            for place in ("torch.distributed", c10d):
                replace(f"{place}.{name}", _reducing(exchange, told))


def _fake(backend: str) -> str:
    parts = [part.partition(":") for part in backend.lower().split(",")]
    if len(parts) == 1 and not parts[0][1]:
        found = _FAKE.get(parts[0][0])
        if found is None:
            raise InspectorError(f"a process group of {backend!r} is not simulated", hint="nccl or gloo")
        return found
    return ",".join(f"{device}:fake" for device, _, _ in parts)


def _reducing(exchange: Exchange, function: Callable[..., Any]) -> Callable[..., Any]:
    """By which operation is known here, and no more in the operator."""
    at = {"all_reduce": 1}.get(function.__name__, 2)

    @functools.wraps(function)
    def reduced(*args: object, **kwargs: object) -> Any:
        before = exchange.reducing
        exchange.reducing = kwargs.get("op", args[at] if len(args) > at else torch.distributed.ReduceOp.SUM)
        try:
            return handed_on(function, *args, **kwargs)
        finally:
            exchange.reducing = before

    return reduced
