"""What autograd hands a function of one's own: the functions here take it for what they keep and ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch


class Context(Protocol):
    """What was kept in a function's forward, for its backward; the fields are the functions' own."""

    dtype: torch.dtype
    shape: torch.Size
    rows: int
    scaled: bool
    needs_input_grad: tuple[bool, ...]

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What was kept."""

    def save_for_backward(self, *tensors: torch.Tensor | None) -> None:
        """Keep tensors."""
