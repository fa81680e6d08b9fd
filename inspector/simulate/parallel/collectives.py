"""What a rank sends, read off the operators of ``torch.distributed`` as they are called."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import torch

from inspector.simulate.parallel.rank_trace import Collective, CollectiveKind

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from torch._ops import OpOverload

_KINDS: dict[str, CollectiveKind] = {
    "allgather": "all-gather", "all_gather": "all-gather", "reduce_scatter": "reduce-scatter",
    "allreduce": "all-reduce", "all_reduce": "all-reduce", "broadcast": "broadcast", "alltoall": "all-to-all",
    "all_to_all": "all-to-all", "send": "send",
}  # fmt: skip
_SILENT = ("wait_tensor", "barrier", "monitored", "recv", "_wrap_tensor")


class Message(NamedTuple):
    """One communication: what the group has together at its end, or puts together, in bytes."""

    kind: CollectiveKind
    nbytes: int
    group_size: int


def know_shapes() -> None:
    """Let tensors without data be sent.

    PyTorch 2.10 knows no shapes of what ``torch.distributed`` sends before its own trackers of memory are imported.
    Newer ones do (torch/distributed/_tools/fake_collectives.py, torch/distributed/_meta_registrations.py).
    """
    if not torch._C._dispatch_has_kernel_for_dispatch_key("c10d::_allgather_base_", "Meta"):
        import_module("torch.distributed._tools.fake_collectives")


def sent(func: OpOverload, args: tuple[object, ...]) -> Message | None:
    """What an operator sends; None for one that sends nothing."""
    if func.namespace not in {"c10d", "_c10d_functional", "_c10d_functional_autograd"}:
        return None
    name = func._schema.name.rpartition("::")[2]
    if name.startswith(_SILENT):
        return None
    kind: CollectiveKind = next((kind for word, kind in _KINDS.items() if word in name), "other")
    size = _group_size(func.namespace, args)
    tensors = [tensor.nbytes for tensor in _tensors(args)]
    if func.namespace == "c10d":
        # What a rank gives and what it gets are both there, and the larger of them is what the group has together.
        halves = [sum(tensor.nbytes for tensor in _tensors(arg)) for arg in args if any(True for _ in _tensors(arg))]
        return Message(kind, max(halves, default=0), size)
    return Message(kind, sum(tensors) * (size if kind == "all-gather" else 1), size)


def _tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _group_size(namespace: str, args: tuple[object, ...]) -> int:
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import (  # type: ignore[attr-defined]
        GroupName,
        ProcessGroup,
        _resolve_process_group,
    )

    for arg in args:
        if isinstance(arg, torch.ScriptObject):
            try:
                return int(ProcessGroup.unbox(arg).size())
            except RuntimeError:  # the operation that reduces
                continue
        if isinstance(arg, ProcessGroup):
            return int(arg.size())
    if namespace != "c10d":
        for arg in reversed(args):
            if isinstance(arg, str):
                try:
                    return int(_resolve_process_group(GroupName(arg)).size())
                except (RuntimeError, KeyError, ValueError):  # "sum", not a group
                    continue
    return int(dist.get_world_size())


def collectives(messages: Counter[Message]) -> tuple[Collective, ...]:
    """The messages of a step, those of one kind in groups of one size together; the most bytes first."""
    found: dict[tuple[CollectiveKind, int], tuple[int, int]] = {}
    for message, times in messages.items():
        nbytes, before = found.get((message.kind, message.group_size), (0, 0))
        found[message.kind, message.group_size] = nbytes + message.nbytes * times, before + times
    made = [Collective(kind, nbytes, size, times) for (kind, size), (nbytes, times) in found.items()]
    return tuple(sorted(made, key=lambda each: (-each.nbytes, each.kind)))
