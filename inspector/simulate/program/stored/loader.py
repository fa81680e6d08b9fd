"""How the tensors of a stored format arrive on the card, and what is done when they are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.simulate.program.arrival import as_it_is

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from inspector.simulate.program.arrival import Arriving


def _nothing() -> None:
    """Nothing to do."""


def own_size(_name: str, tensor: torch.Tensor) -> float:
    """What an element takes as it is."""
    return tensor.element_size()


@dataclass(frozen=True)
class Loader:
    """``arriving`` is what becomes of a parameter, ``element_size`` what an element takes when it has been loaded.

    ``finish`` runs when all are there, traced. ``warms_up`` is whether transformers loads it, which allocates all bytes
    at once before. ``quantizer`` is transformers' own, where its layers are in place.
    """

    arriving: Arriving = as_it_is
    element_size: Callable[[str, torch.Tensor], float] = own_size
    finish: Callable[[], None] = _nothing
    warms_up: bool = True
    quantizer: Any = None
