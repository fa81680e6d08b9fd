"""Dry runs: the real training step on shapes without data, replayed through a model of the caching allocator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspector.simulate.finetuning import finetune

__all__ = ["finetune"]


def __getattr__(name: str) -> Any:
    if name == "finetune":
        from inspector.simulate.finetuning import finetune as function

        return function
    raise AttributeError(f"module 'inspector.simulate' has no attribute {name!r}")
