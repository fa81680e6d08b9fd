"""A weight's parts, made when asked for: wrappers make those of every rank, and look at their own and the first.

Sources: torch/distributed/fsdp/_fully_shard/_fsdp_common.py, ``_chunk_with_empty``, as ``FSDPParam`` calls it; FSDP1's
_flat_param.py, ``_get_unpadded_shard``, and _runtime_utils.py, ``_get_reduce_scatter_tensors``, which call
``Tensor.chunk``. For a million ranks their lists were most of a dry run's time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable


class Parts:
    """What ``torch.chunk`` makes of a tensor, and after those a tensor of nothing for every other rank."""

    def __init__(self, tensor: torch.Tensor, num_chunks: int, dim: int) -> None:
        self._tensor, self._count, self._dim = tensor, num_chunks, dim

    def __getitem__(self, at: int) -> torch.Tensor:
        if not 0 <= at < self._count:
            raise IndexError(at)
        length = self._tensor.size(self._dim)
        each = -(-length // self._count)
        begin = at * each
        if begin >= length > 0:
            return self._tensor.new_empty(0)
        return self._tensor.narrow(self._dim, begin, min(each, length - begin))


def unpadded_shard(tensor: torch.Tensor, rank: int, world_size: int) -> tuple[torch.Tensor, int]:
    """A rank's part of a flat tensor, and how many elements it lacks; stands for ``_get_unpadded_shard``."""
    flat = tensor.flatten() if tensor.is_contiguous() else tensor.as_strided((tensor.numel(),), (1,))
    parts = Parts(flat, world_size, 0)
    return parts[rank], parts[0].numel() - parts[rank].numel()


def to_reduce_scatter(state: Any, unsharded_grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What a unit's gradient is sent from, padded for all ranks, and what this one gets of it.

    Stands for ``_get_reduce_scatter_tensors``.
    """
    first = Parts(unsharded_grad, state.world_size, 0)[0]
    lacks = state.world_size * first.numel() - unsharded_grad.numel()
    whole = functional.pad(unsharded_grad, [0, lacks]) if lacks > 0 else unsharded_grad
    return whole, torch.empty_like(first)


def flat_parts() -> dict[str, Callable[..., Any]]:
    """What takes the place of FSDP1's functions, by their names in the inventory."""
    fsdp = "torch.distributed.fsdp"
    return {
        f"{fsdp}._flat_param.FlatParamHandle._get_unpadded_shard": unpadded_shard,
        f"{fsdp}._runtime_utils._get_reduce_scatter_tensors": to_reduce_scatter,
    }
