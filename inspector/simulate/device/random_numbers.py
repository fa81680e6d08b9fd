"""Random numbers of a dry run's own: the process's generator is the caller's, and its stream goes on undisturbed.

Tensors without data draw nothing. What is drawn on the CPU (a layer that drops out, adapters' first values) comes from
a generator of our own, and checkpointing neither restores nor seeds the process's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch._ops import OpOverload

aten = torch.ops.aten

_WITH_GENERATOR: dict[Any, Any] = {
    aten.rand.default: aten.rand.generator,
    aten.randn.default: aten.randn.generator,
    aten.randint.default: aten.randint.generator,
    aten.randint.low: aten.randint.low_generator,
    aten.randperm.default: aten.randperm.generator,
    **{
        operator: operator
        for operator in (
            aten.uniform_.default, aten.normal_.default, aten.bernoulli_.float, aten.bernoulli_.Tensor,
            aten.bernoulli.default, aten.exponential_.default, aten.multinomial.default, aten.random_.default,
            aten.random_.to, getattr(aten.random_, "from"), aten.normal.float_float, aten.normal.Tensor_float,
        )
    },
}  # fmt: skip
"""Operators that draw, and the overload that is told where from."""


def draws(func: OpOverload) -> bool:
    """Whether an operator draws, and so is for `drawn`."""
    return func in _WITH_GENERATOR


def drawn(
    func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], generator: torch.Generator | None
) -> tuple[Any, dict[str, Any]]:
    """An operator and its arguments, drawing from ``generator`` where it would draw from the process's."""
    told = _WITH_GENERATOR.get(func)
    # A program that brings its own generator means to draw from it.
    if told is None or kwargs.get("generator") is not None or not _on_cpu(args, kwargs):
        return func, kwargs
    return told, {**kwargs, "generator": generator}


def _on_cpu(args: Sequence[object], kwargs: Mapping[str, Any]) -> bool:
    tensors = [value for value in args if isinstance(value, torch.Tensor)]
    return all(tensor.device.type == "cpu" for tensor in tensors) and (
        kwargs.get("device") is None or torch.device(kwargs["device"]).type == "cpu"
    )


def _nothing(*_: object) -> None:
    """Neither restored nor seeded."""


def _seed_nothing(_seed: int) -> Any:
    # What ``torch.manual_seed`` returns.
    return torch.default_generator


NOT_THE_CALLERS: dict[str, Any] = {
    "torch.set_rng_state": _nothing,
    "torch.random.set_rng_state": _nothing,
    "torch.manual_seed": _seed_nothing,
    "torch.random.manual_seed": _seed_nothing,
}
"""For `inspector.patched.patched`: what this thread sets of the process's generator is not set."""
