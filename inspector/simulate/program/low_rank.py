"""GaLore and APOLLO: moments of gradients that are projected into few dimensions, by the libraries' own steps.

Sources: transformers/trainer_optimizer.py, 5.23, ``_setup_low_rank_optimizer``; galore_torch 1.0, galore_projector.py;
apollo_torch 1.0.3, apollo.py and random_projector.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

TARGETS = "all-linear"
"""``optim_target_modules``: no setting says which, and transformers has no default; of the rank it has, 128."""


def projects(name: str) -> bool:
    """Whether an optimizer of this name projects gradients."""
    return name.startswith(("galore_", "apollo_"))


def _each(optimizer: torch.optim.Optimizer) -> list[Any]:
    """An optimizer, or those of each weight behind the dummy that transformers puts before them."""
    own = getattr(optimizer, "optimizer_dict", None)
    return list(own.values()) if own else [optimizer]


def states(optimizer: torch.optim.Optimizer) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """Each weight with its state."""
    for each in _each(optimizer):
        yield from each.state.items()


def draw_by_hand(optimizer: torch.optim.Optimizer) -> None:
    """APOLLO draws its projections from a generator on the card, and there is none for tensors without data."""
    for each in _each(optimizer):
        made = each._initialize_projector

        def projector(group: object, state: object, made: Callable[..., Any] = made) -> Any:
            found = made(group, state)
            found.get_orthogonal_matrix = _drawn
            return found

        each._initialize_projector = projector


def _drawn(weights: torch.Tensor, rank: int, type: str, seed: int) -> torch.Tensor:  # noqa: A002 -- the library's name
    """``GradientProjector.get_orthogonal_matrix``, its tensors in their order."""
    del seed
    matrix = weights if weights.dtype == torch.float32 else weights.float()
    shape = (matrix.shape[0], rank) if type == "left" else (rank, matrix.shape[1])
    return (torch.randn(shape, device=weights.device, dtype=matrix.dtype) / math.sqrt(rank)).to(weights.dtype)
