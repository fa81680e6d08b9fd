"""A rank's own part of a tensor that is cut over cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.distributed.tensor import DTensor

if TYPE_CHECKING:
    import torch


def local(tensor: torch.Tensor) -> torch.Tensor:
    """This rank's part of a tensor; the tensor itself where nobody cuts it."""
    return tensor._local_tensor if isinstance(tensor, DTensor) else tensor
