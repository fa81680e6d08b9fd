"""A rank's world without other ranks: PyTorch's own fake process group, and what stands in for the card's module."""

from __future__ import annotations

import sys
from collections import deque
from contextlib import ExitStack, contextmanager
from types import FunctionType
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch.utils._python_dispatch import _disable_current_modes

from inspector.errors import InspectorError
from inspector.patched import patched
from inspector.simulate.parallel.collectives import know_shapes
from inspector.simulate.parallel.lists_of_parts import list_rules
from inspector.simulate.parallel.meshes import of_this_rank
from inspector.simulate.parallel.parts import Parts, flat_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn
    from torch.distributed.fsdp._fully_shard._fsdp_param import FSDPParam
    from torch.distributed.tensor._op_schema import OpSchema

    from inspector.simulate.parallel.rank_tracer import RankTracer
    from inspector.simulate.parallel.streams import CardStream


@contextmanager
def as_rank(tracer: RankTracer, rank: int, world_size: int) -> Iterator[None]:
    """While this runs, this process is one rank of a world, and the wrappers take meta tensors for a card's.

    Every collective answers at once and with shapes alone (``torch.testing._internal.distributed.fake_pg``).

    Raises:
        InspectorError: where the process has a group of its own, which is left alone.
    """
    know_shapes()
    with ExitStack() as stack:
        # The lock first of all: two dry runs must not find each other's group.
        stack.enter_context(patched())
        stack.enter_context(_fake_group(rank, world_size))
        stack.enter_context(_nothing_remembered())
        stack.enter_context(patched({**_replaced(tracer), **list_rules(), **flat_parts(), **of_this_rank()}))
        yield


@contextmanager
def _nothing_remembered() -> Iterator[None]:
    """DTensor remembers what a rank's part of a shape is, by the mesh alone: another rank would be told the same."""
    _forget()
    try:
        yield
    finally:
        _forget()


def _forget() -> None:
    from torch.distributed.tensor import _redistribute, debug

    # By their own names, as PyTorch 2.10 has none for both.
    debug._clear_python_sharding_prop_cache()
    debug._clear_fast_path_sharding_prop_cache()
    _redistribute._gen_transform_infos.cache_clear()
    if clear := getattr(_redistribute, "clear_redistribute_planner_cache", None):
        clear()


@contextmanager
def _fake_group(rank: int, world_size: int) -> Iterator[None]:
    from torch.testing._internal.distributed.fake_pg import FakeStore

    if not dist.is_available():
        raise InspectorError("this PyTorch was built without torch.distributed", hint="install one from pytorch.org")
    if dist.is_initialized():
        raise InspectorError(
            "this process is a rank of a process group itself", hint="simulate several cards in a process without one"
        )
    # It would be left to say the rank before every error from now on (distributed_c10d.py, init_process_group).
    hook = sys.excepthook
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=world_size)
    try:
        sys.excepthook = hook
        yield
    finally:
        dist.destroy_process_group()


def _reset(tracer: RankTracer) -> Callable[[FSDPParam], None]:
    """What FSDP2 makes of weights that were loaded after it cut them: a copy where a part is shorter than others."""
    from torch.distributed.fsdp._fully_shard._fsdp_param import FSDPParam

    as_filled = _as_filled(FSDPParam.reset_sharded_param)

    def reset(param: FSDPParam) -> None:
        info = param._module_info
        before = getattr(info.module, info.param_name)
        block, kind, module = tracer.block_of(before), tracer.kind_of(before), tracer._module_of(before)
        as_filled(param)
        if kind is not None and tracer.block_of(param.sharded_param) != block:
            tracer.label(param.sharded_param, kind, module)

    return reset


def _as_filled(function: Callable[..., None]) -> Callable[..., Any]:
    """A function as it is for tensors with data: it leaves out what is on meta, which here is a card's."""
    code = function.__code__
    asked = tuple("is_sparse" if name == "is_meta" else name for name in code.co_names)
    return FunctionType(code.replace(co_names=asked), function.__globals__)


def _to_move(module: nn.Module, ignored: set[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The tensors of a module and of those inside it, the nearer first, but for units that were wrapped before.

    Its own function takes what says that it is on the CPU, which nothing without data does.
    Source: torch/distributed/fsdp/_init_utils.py, ``_move_module_to_device``.
    """
    from torch.distributed.fsdp import FullyShardedDataParallel

    queue = deque([module])
    while queue:
        part = queue.popleft()
        owned = (*part.parameters(recurse=False), *part.buffers(recurse=False))
        yield from (each for each in owned if each not in ignored)
        queue.extend(child for child in part.children() if not isinstance(child, FullyShardedDataParallel))


def _replaced(tracer: RankTracer) -> dict[str, Any]:
    """What the wrappers of PyTorch ask a device, answered for tensors without data; see the inventory for each."""
    import torch.distributed.fsdp._fully_shard._fsdp_collectives
    from torch.distributed.fsdp._common_utils import _FSDPDeviceHandle
    from torch.distributed.tensor._sharding_prop import ShardingPropagator

    fsdp = "torch.distributed.fsdp"
    plain, shape_of = _FSDPDeviceHandle.__init__, ShardingPropagator._propagate_tensor_meta_non_cached
    resize, address = torch.UntypedStorage.resize_, torch.UntypedStorage.data_ptr

    def resized(storage: torch.UntypedStorage, size: int) -> Any:
        out = resize(storage, size)
        tracer.resized(storage)
        return out

    def storage_address(storage: torch.UntypedStorage) -> int:
        # Two storages without data would pass for one, and one that is emptied for none.
        if storage.device.type != "meta":
            return int(address(storage))
        return int(storage._cdata) if storage.nbytes() else 0

    def tensor_address(tensor: torch.Tensor) -> int:
        begin = storage_address(tensor.untyped_storage())
        return int(begin + tensor.storage_offset() * tensor.itemsize) if begin else 0

    def used_on(tensor: torch.Tensor, stream: CardStream) -> None:
        tracer.used_on(tensor, stream.number)

    def handle_of(self: _FSDPDeviceHandle, device: torch.device, backend: object = None) -> None:
        plain(self, device, tracer.streams if device.type == "meta" else backend)

    def shape_alone(propagator: ShardingPropagator, schema: OpSchema) -> object:
        with _disable_current_modes():
            return shape_of(propagator, schema)

    def arrive(params: list[torch.Tensor], buffers: list[torch.Tensor], _device: object) -> None:
        tracer.arrive([*params, *buffers])

    groups = ("_fsdp_collectives", "_fsdp_init", "_fsdp_param_group", "_fsdp_state")
    asking = ("torch.distributed.device_mesh", "torch.distributed.tensor._random")
    handles = (*asking, *(f"{fsdp}._fully_shard.{group}" for group in groups))
    return {
        "torch.UntypedStorage.resize_": resized,
        "torch.UntypedStorage.data_ptr": storage_address,
        "torch.Tensor.data_ptr": tensor_address,
        "torch.Tensor.record_stream": used_on,
        "torch.accelerator.current_stream": lambda *_args: tracer.streams.current_stream(),
        "torch.nn.parallel.distributed._verify_param_shape_across_processes": lambda *_args: None,
        **{f"{module}._get_device_handle": lambda *_args: tracer.streams for module in handles},
        f"{fsdp}._fully_shard._fsdp_param_group.FSDPParamGroup._validate_no_meta_params": lambda _self: None,
        f"{fsdp}._fully_shard._fsdp_param._chunk_with_empty": Parts,
        f"{fsdp}._fully_shard._fsdp_param.FSDPParam.reset_sharded_param": _reset(tracer),
        f"{fsdp}._fully_shard._fully_shard._get_device_from_mesh": lambda _mesh: torch.device(tracer.device),
        f"{fsdp}._common_utils._FSDPDeviceHandle.__init__": handle_of,
        f"{fsdp}._init_utils._need_to_materialize_module": lambda *_args: (False, False),
        f"{fsdp}._init_utils._move_module_to_device": lambda module, params, buffers, _device: tracer.arrive(
            _to_move(module, params | buffers)
        ),
        f"{fsdp}._fully_shard._fsdp_init._move_states_to_device": arrive,
        f"{fsdp}._runtime_utils._no_dispatch_record_stream": used_on,
        f"{fsdp}._flat_param._no_dispatch_record_stream": used_on,
        "torch.distributed.tensor._sharding_prop.ShardingPropagator._propagate_tensor_meta_non_cached": shape_alone,
    }
