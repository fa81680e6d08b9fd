"""Remember what shape-only kernels answered: a model asks the same question once for every layer.

A functional operator's result on the meta device depends on nothing but the shapes, strides and dtypes of its inputs
and on its other arguments. PyTorch's shape functions are Python and take 50 to 200 microseconds; a remembered answer
takes five. A test holds a trace with this memory equal to one without.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.error_origin import runs_operators

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch._ops import OpOverload

_Spec = tuple[tuple[int, ...], tuple[int, ...], Any]


@runs_operators
def run(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The operator for the program that called it: what it refuses is the program's."""
    return func(*args, **kwargs)


class ShapeMemory:
    """Call operators on meta tensors, answering from memory where that is safe."""

    def __init__(self) -> None:
        self._pure: dict[Any, bool] = {}
        self._specs: dict[Any, _Spec] = {}

    def call(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of ``func(*args, **kwargs)``."""
        pure = self._pure.get(func)
        if pure is None:
            pure = self._pure[func] = _is_pure(func)
        if not pure:
            return run(func, args, kwargs)
        try:
            key = (func, _signature(args), _signature(tuple(kwargs.items())) if kwargs else ())
            spec = self._specs.get(key)
        except TypeError:
            return run(func, args, kwargs)
        # Always a new tensor: two answers must not share a storage, or one block would stand for both.
        if spec is not None:
            return torch.empty_strided(spec[0], spec[1], dtype=spec[2], device="meta")
        out = run(func, args, kwargs)
        # A subclass would come back as a plain tensor, and a view would lose what it is a view of.
        if type(out) is torch.Tensor and out.device.type == "meta" and not _shares(out, args):
            self._specs[key] = (tuple(out.shape), out.stride(), out.dtype)
        return out


@cache
def shape_memory() -> ShapeMemory:
    """The one of this process: what was answered in one dry run holds in the next."""
    return ShapeMemory()


def _is_pure(func: OpOverload) -> bool:
    """One new tensor out, nothing written, nothing aliased, and a tensor to take the device from."""
    schema = func._schema
    returns = schema.returns
    # Only aten's schemas are relied on to say all that an operator writes.
    if len(returns) != 1 or str(returns[0].type) != "Tensor" or schema.is_mutable or func.namespace != "aten":
        return False
    if any(item.alias_info for item in (*returns, *schema.arguments)):
        return False
    return any("Tensor" in str(argument.type) for argument in schema.arguments)


def _shares(out: torch.Tensor, args: Iterable[object]) -> bool:
    """Whether a result lives in an input's storage although its schema does not say so (``_unsafe_view``)."""
    storage = out.untyped_storage()._cdata
    return any(isinstance(arg, torch.Tensor) and arg.untyped_storage()._cdata == storage for arg in args)


def _signature(values: Iterable[object]) -> Any:
    """A hashable description of arguments. Raises TypeError for what cannot be described."""
    parts: list[Any] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            if value.device.type != "meta":
                raise TypeError
            parts.append((value.shape, value.stride(), value.dtype))
        elif isinstance(value, (list, tuple)):
            parts.append(_signature(value))
        else:
            # With the type: 1, 1.0 and True are one key to Python, and three results to torch.
            parts.append((type(value), value))
    return tuple(parts)
