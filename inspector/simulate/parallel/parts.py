"""A weight's parts, made when they are asked for: FSDP2 makes those of every rank, and looks at its own and the first.

Source: torch/distributed/fsdp/_fully_shard/_fsdp_common.py, ``_chunk_with_empty``, as ``FSDPParam`` calls it. For a
million ranks its list was most of a dry run's time: each weight has at most as many parts as it has rows, and all
other ranks a tensor of nothing each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


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
