"""DeepSpeed's compiled optimizers without their kernels: they write into what is there, and allocate nothing.

Sources: deepspeed csrc/adam/multi_tensor_adam.cu, csrc/lion/multi_tensor_lion.cu, csrc/adam/cpu_adam_impl.cpp (0.18):
each updates weights and state element by element, in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

BUILDERS = (
    "adam.fused_adam.FusedAdamBuilder", "adam.cpu_adam.CPUAdamBuilder", "lion.fused_lion.FusedLionBuilder",
    "lion.cpu_lion.CPULionBuilder", "adagrad.cpu_adagrad.CPUAdagradBuilder",
)  # fmt: skip
"""What compiles them, by the module that asks."""


class InPlace:
    """What a builder has compiled: any function of it is called, and does nothing to shapes."""

    def load(self, *_args: object, **_kwargs: object) -> InPlace:
        """The compiled module."""
        return self

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _nothing


def _nothing(*_args: object, **_kwargs: object) -> int:
    """Also the name of an instruction set: none."""
    return 0


def replaced() -> dict[str, Any]:
    """By the names of the inventory."""
    return {f"deepspeed.ops.{name}": lambda *_args, **_kwargs: InPlace() for name in BUILDERS}
