"""What ``triton`` is to a script: kernels are launched, compute nothing and allocate nothing, as on a card.

What a kernel writes is what its caller made room for. Which values it wrote is not known, so those of all its arguments
are forgotten. Without it libraries take other ways round (TRL's chunked losses in plain PyTorch take 0.9 GB more).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.script.child.storages import has_no_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.simulate.script.child.world import World

_worlds: list[World] = []


def on(world: World) -> None:
    """On whose card kernels are launched."""
    _worlds[:] = [world]


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
        for world in _worlds:
            self._noted(world)
        for value in (*args, *kwargs.values()):
            if isinstance(value, torch.Tensor) and has_no_data(value) and _worlds:
                found = _worlds[0].tracer.hollow(value)
                if found is not None:
                    found.values = found.uniform = None

    def _noted(self, world: World) -> None:
        code = getattr(self.fn, "__code__", None)
        if code is not None and world.lines.is_own(code.co_filename):
            world.tracer.notes.append(
                f"{self.__name__} is a Triton kernel of the script's own: it is launched and computes nothing; what "
                "it writes is not known, and trial runs of autotune are not counted"
            )

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


_TYPES = frozenset({"dtype", "tensor", "constexpr", "block_type", "pointer_type"})
"""Types of the library's language whose names begin with a small letter."""

_made: dict[str, Any] = {}


def anything_called(name: str) -> Any:
    """What stands for a name of which nothing is known but its spelling: an error, a class, or something to call."""
    if name.startswith("__"):
        raise AttributeError(name)
    if name not in _made:
        if name.endswith("Error") or name in {"OutOfResources", "CompileTimeAssertionFailure"}:
            _made[name] = type(name, (Exception,), {})
        else:
            is_type = name[:1].isupper() or name in _TYPES
            _made[name] = type(name, (Anything,), {}) if is_type else Anything()
    return _made[name]


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


JITFunction = KernelInterface = Kernel
NAMES = frozenset({"jit", "autotune", "heuristics", "cdiv", "next_power_of_2", "Config", "JITFunction",
                   "KernelInterface"})  # fmt: skip
"""What modules of the package hand on as it is here."""
