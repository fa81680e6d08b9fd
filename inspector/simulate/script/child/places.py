"""The cards that the script sees, and a device as PyTorch wants it, from all that a script may call it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from inspector.simulate.script.child.errors import emulated, handed_on

if TYPE_CHECKING:
    from collections.abc import Iterator


class Shown:
    """How many cards there are, and which one is current (``torch.cuda.set_device``)."""

    count = 1
    current = 0


def card(number: int | None = None) -> torch.device:
    """A card as a device: the current one where no number is said."""
    return torch.device("cuda", Shown.current if number is None else number)


def whole(device: torch.device | str | int) -> torch.device:
    """A device as PyTorch wants it: a bare "cuda" would have it ask a driver for the current one."""
    if isinstance(device, int):
        device = torch.device("cuda", device)
    found: torch.device = handed_on(torch.device, device)
    if found.type != "cuda":
        return found
    if found.index is not None and not 0 <= found.index < Shown.count:
        raise emulated(RuntimeError("CUDA error: invalid device ordinal"))
    return card(found.index)


def number_of(device: object = None) -> int:
    """The number of a card as functions of ``torch.cuda`` are given one; below zero and None are the current."""
    if device is None or (isinstance(device, int) and device < 0):
        return Shown.current
    found = whole(device)  # type: ignore[arg-type]
    return Shown.current if found.index is None else found.index


@contextmanager
def at(number: int) -> Iterator[None]:
    """While this runs, this card is the current one."""
    before, Shown.current = Shown.current, number
    try:
        yield
    finally:
        Shown.current = before
