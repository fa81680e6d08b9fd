"""A device as PyTorch wants it, from all that a script may call it."""

from __future__ import annotations

import torch

from inspector.simulate.script.child.errors import emulated
from inspector.simulate.script.child.storages import CARD


def whole(device: torch.device | str | int) -> torch.device:
    """A device as PyTorch wants it: a bare "cuda" would have it ask a driver for the current one."""
    if isinstance(device, int):
        return CARD
    found = torch.device(device)
    if found.type != "cuda":
        return found
    if found.index not in {None, 0}:
        raise emulated(RuntimeError("CUDA error: invalid device ordinal"))
    return CARD
