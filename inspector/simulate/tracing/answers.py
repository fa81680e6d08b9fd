"""What tensors without data say when a model looks at one (``.item()``, ``bool()``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    Answer = Callable[[torch.Tensor], bool | int | float]


def answers(number: Callable[[], int] = lambda: 1, *, masks: bool = True) -> Answer:
    """The usual answers: counts are ``number()``, which is mostly the tokens there are, and masks are all ``masks``.

    No padding masks anything out, so masks are true, unless sequences are packed into one row; other numbers are one.
    """

    def answer(tensor: torch.Tensor) -> bool | int | float:
        if tensor.dtype == torch.bool:
            return masks
        return 1.0 if tensor.dtype.is_floating_point else number()

    return answer
