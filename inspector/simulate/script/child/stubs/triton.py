"""``triton`` where the package is not there: kernels are launched, write nothing and allocate nothing, as on a card.

What a kernel writes is what its caller made room for. Which values it wrote is not known, so those of all its arguments
are forgotten. Without it libraries take other ways round (TRL's chunked losses in plain PyTorch take 0.9 GB more).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.script.child.storages import has_no_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.simulate.script.child.card_tracer import CardTracer

_tracers: list[CardTracer] = []


def on(tracer: CardTracer) -> None:
    """Whose storages kernels write into."""
    _tracers[:] = [tracer]


class Kernel:
    """What ``@triton.jit`` makes of a function: ``kernel[grid](...)`` launches it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.fn = function
        self.__name__ = getattr(function, "__name__", "kernel")
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__

    def __getitem__(self, _grid: object) -> Callable[..., None]:
        return self.run

    def __call__(self, *args: object, **kwargs: object) -> None:
        self.run(*args, **kwargs)

    def run(self, *args: object, **kwargs: object) -> None:
        """A launch."""
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.Tensor) and has_no_data(value) and _tracers:
                found = _tracers[0].hollow(value)
                if found is not None:
                    found.values = found.uniform = None

    def warmup(self, *_: object, **__: object) -> Kernel:
        """A launch that is none."""
        return self


class Anything:
    """A name of the library that a program mentions where nothing is computed: types, constants, intrinsics."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything()

    def __call__(self, *args: object, **_: object) -> Any:
        return args[0] if len(args) == 1 and callable(args[0]) else Anything()

    def __getitem__(self, _: object) -> Anything:
        return self

    def __mro_entries__(self, _: object) -> tuple[type, ...]:
        return (Anything,)


def jit(function: Callable[..., Any] | None = None, **_: object) -> Any:
    """``triton.jit``, bare or with options."""
    return Kernel if function is None else Kernel(function)


def autotune(*_: object, **__: object) -> Callable[[Any], Any]:
    """``triton.autotune``: of several ways to launch a kernel, none is tried."""
    return lambda kernel: kernel


heuristics = autotune


def cdiv(x: int, y: int) -> int:
    """``triton.cdiv``."""
    return -(-x // y)


def next_power_of_2(n: int) -> int:
    """``triton.next_power_of_2``."""
    return 1 << max(n - 1, 0).bit_length()


class Config:
    """``triton.Config``."""

    def __init__(self, kwargs: dict[str, Any] | None = None, **options: object) -> None:
        self.kwargs, self.options = kwargs or {}, options
