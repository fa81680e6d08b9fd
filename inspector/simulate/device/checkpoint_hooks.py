"""Hooks on saved tensors that an error leaves on the thread: until torch 2.13, checkpointing does not take them off.

There a generator pushes them before a layer's forward and takes them off behind it; where the forward raises, it waits
in the traceback for as long as somebody keeps that, and what the thread computes next is checkpointed by a dead step.
Source: torch v2.12 torch/utils/checkpoint.py, ``checkpoint`` (v2.13 throws the error into the generator).
"""

from __future__ import annotations

import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def no_hooks_left() -> Iterator[None]:
    """Take off the hooks of a step that ends in an error, whoever keeps the error."""
    before = _hooks()
    try:
        yield
    except BaseException as error:
        if _hooks() != before:
            # The locals go, and the generators with them, which end as they should have.
            traceback.clear_frames(error.__traceback__)
        raise


def _hooks() -> Any:
    return torch._C._autograd._top_saved_tensors_default_hooks(True)
