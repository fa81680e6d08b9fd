"""What the wrappers of PyTorch ask a card that a rank's tensors without data have to answer."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from inspector.memory_kinds import MemoryKind
from inspector.simulate.parallel.ddp import Untimed
from inspector.simulate.script.child.errors import handed_on
from inspector.simulate.script.child.replaced import replace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.simulate.script.child.imports import OnImport
    from inspector.simulate.script.child.rank.tracer import RankCardTracer


def install(tracer: RankCardTracer, imports: OnImport) -> None:
    """Put all of it in its place."""
    _storages(tracer)
    # Meshes are made for it where none is given (torch/distributed/fsdp/_fully_shard/_fsdp_init.py).
    replace("torch._C._get_accelerator", lambda *_: torch.device("cuda"))
    imports.then("torch.nn.parallel.distributed", lambda _: _ddp(tracer))
    # Every rank says that it has this one's parts, so that none has the others (torch/distributed/checkpoint).
    planner = "torch.distributed.checkpoint.default_planner"
    imports.then(planner, lambda _: _plans(planner))
    imports.then("torch.distributed.tensor._sharding_prop", lambda _: _shapes())


def _storages(tracer: RankCardTracer) -> None:
    resize: Any = torch.UntypedStorage.resize_

    def resized(storage: torch.UntypedStorage, size: int) -> Any:
        out = handed_on(resize, storage, size)
        tracer.resized(storage)
        return out

    replace("torch.UntypedStorage.resize_", resized)


def _ddp(tracer: RankCardTracer) -> None:
    """C++ makes the buckets, of the tensors' own device: here that is ``meta``."""
    parallel = "torch.nn.parallel.distributed"
    wrapper: Any = torch.nn.parallel.DistributedDataParallel
    make, reducer, begin = wrapper.__init__, torch.distributed.Reducer, wrapper._pre_forward  # type: ignore[attr-defined]

    @contextmanager
    def within() -> Iterator[None]:
        tracer.within_a_wrapper += 1
        try:
            with tracer.making(MemoryKind.COMMUNICATION):
                yield
        finally:
            tracer.within_a_wrapper -= 1

    @functools.wraps(reducer, updated=())
    def reduces(*args: object, **kwargs: object) -> Any:
        with within():
            return handed_on(reducer, *args, **kwargs)

    @functools.wraps(make)
    def wrapped(self: Any, *args: object, **kwargs: object) -> None:
        handed_on(make, self, *args, **kwargs)
        # It would warn of a device that it cannot take the time on.
        self.logger = Untimed(self.logger)

    @functools.wraps(begin)
    def begins(self: object, *args: object, **kwargs: object) -> Any:
        with within():
            return handed_on(begin, self, *args, **kwargs)

    replace("torch.distributed.Reducer", reduces)
    replace(f"{parallel}.DistributedDataParallel.__init__", wrapped)
    replace(f"{parallel}.DistributedDataParallel._pre_forward", begins)
    replace(f"{parallel}._verify_param_shape_across_processes", lambda *_, **__: None)


def _shapes() -> None:
    """DTensor asks shape functions what an operator gives: with fake tensors of its own, that nobody follows."""
    name = "torch.distributed.tensor._sharding_prop.ShardingPropagator._propagate_tensor_meta_non_cached"
    shape_of: Any = torch.distributed.tensor._sharding_prop.ShardingPropagator._propagate_tensor_meta_non_cached

    def alone(propagator: object, schema: object) -> Any:
        with _disable_current_modes():
            return shape_of(propagator, schema)

    replace(name, alone)


def _plans(planner: str) -> None:
    """A checkpoint's plan is not held to be whole."""
    replace(f"{planner}._validate_global_plan", lambda *_: [])
