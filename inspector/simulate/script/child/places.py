"""A device as PyTorch wants it, from all that a script may call it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.script.child.errors import emulated, handed_on
from inspector.simulate.script.child.storages import CARD

if TYPE_CHECKING:
    from collections.abc import Callable


def whole(device: torch.device | str | int) -> torch.device:
    """A device as PyTorch wants it: a bare "cuda" would have it ask a driver for the current one."""
    if isinstance(device, int):
        device = torch.device("cuda", device)
    found: torch.device = handed_on(torch.device, device)
    if found.type != "cuda":
        return found
    if found.index not in {None, 0}:
        raise emulated(RuntimeError("CUDA error: invalid device ordinal"))
    return CARD


def of_the_first(answer: Callable[..., Any]) -> Callable[..., Any]:
    """One that refuses a second card, as the driver would."""

    def asked(device: Any = None, *args: object, **kwargs: object) -> Any:
        if isinstance(device, (str, torch.device)) or (isinstance(device, int) and device > 0):
            whole(device)
        return answer(*args, **kwargs)

    return asked
