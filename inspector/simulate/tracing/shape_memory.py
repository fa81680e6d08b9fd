"""Remember what shape-only kernels answered: a model asks the same question once for every layer.

An operator's result on the meta device depends on nothing but the shapes, strides and dtypes of its inputs and on its
other arguments; one that writes into its first input leaves it as it was, as there is no data. PyTorch's shape
functions are Python and take 50 to 200 microseconds, and that for every tensor of an optimizer's list; a remembered
answer takes five. A test holds a trace with this memory equal to one without.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import torch

from inspector.architecture.error_origin import runs_operators

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch._ops import OpOverload

_Spec = tuple[tuple[int, ...], tuple[int, ...], Any]
_Kind = Literal["one", "several", "written", "unknown"]
"""What comes out: one new tensor, several, or the first input, written into; of anything else nothing is remembered."""


on_meta: Callable[[torch.Tensor], bool] = torch._C.TensorBase.is_meta.__get__  # type: ignore[attr-defined]
"""Whether PyTorch has a tensor on the meta device: in a user's script, such tensors say that they are elsewhere."""


@runs_operators
def run(func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The operator for the program that called it: what it refuses is the program's."""
    return func(*args, **kwargs)


class ShapeMemory:
    """Call operators on meta tensors, answering from memory where that is safe."""

    def __init__(self) -> None:
        # By an operator's id, beside the operator, whose id so stays its own: its hash is computed in Python.
        self._kinds: dict[int, tuple[OpOverload, _Kind]] = {}
        self._specs: dict[Any, tuple[_Spec | None, ...]] = {}

    def call(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of ``func(*args, **kwargs)``."""
        known = self._kinds.get(id(func))
        if known is None:
            known = self._kinds[id(func)] = func, _kind(func)
        kind = known[1]
        if kind == "unknown":
            return run(func, args, kwargs)
        try:
            key = (id(func), _signature(args), _signature(tuple(kwargs.items())) if kwargs else ())
            specs = self._specs.get(key)
        except TypeError:
            return run(func, args, kwargs)
        if specs is not None:
            return _answer(kind, specs, func, args)
        before = _held(args[:1]) if kind == "written" else []
        out = run(func, args, kwargs)
        if kind == "written":
            if (out is None or out is args[0]) and _held(args[:1]) == before and _signature(args) == key[1]:
                self._specs[key] = ()
        elif (found := _specs(out if kind == "several" else (out,), args)) is not None:
            self._specs[key] = found
        return out


def _answer(kind: _Kind, specs: tuple[_Spec | None, ...], func: OpOverload, args: tuple[Any, ...]) -> Any:
    """The remembered answer. Always new tensors: two answers must not share a storage, or one block stood for both."""
    if kind == "written":
        return args[0] if func._schema.returns else None
    if kind == "one" and specs[0] is not None:
        shape, stride, dtype = specs[0]
        return torch.empty_strided(shape, stride, dtype=dtype, device="meta")
    return tuple(spec and torch.empty_strided(spec[0], spec[1], dtype=spec[2], device="meta") for spec in specs)


def _specs(outputs: Iterable[object], args: tuple[Any, ...]) -> tuple[_Spec | None, ...] | None:
    """What to make of each output (None for one that was not asked for), or None for what cannot be made again."""
    found: list[_Spec | None] = []
    storages = _held(args)
    for out in outputs:
        if out is None:
            found.append(None)
            continue
        # A subclass would come back as a plain tensor, and a view would lose what it is a view of: an input, although
        # the schema does not say so (``_unsafe_view``), or another output.
        if type(out) is not torch.Tensor or not on_meta(out) or out.untyped_storage()._cdata in storages:
            return None
        storages += _held([out])
        found.append((tuple(out.shape), out.stride(), out.dtype))
    return tuple(found) if any(found) else None


@cache
def shape_memory() -> ShapeMemory:
    """The one of this process: what was answered in one dry run holds in the next."""
    return ShapeMemory()


def _kind(func: OpOverload) -> _Kind:
    """What an operator gives, by its schema: new tensors only, its first input, or neither for certain."""
    schema = func._schema
    # Only aten's schemas are relied on to say all that an operator writes.
    if func.namespace != "aten" or torch.Tag.inplace_view in func.tags:
        return "unknown"
    first, *others = schema.arguments or (None,)
    if schema.is_mutable and first is not None:
        written = first.alias_info
        if written is None or not written.is_write or any(item.alias_info for item in others):
            return "unknown"
        given = [item.alias_info.before_set if item.alias_info else None for item in schema.returns]
        return "written" if given in ([], [written.before_set]) else "unknown"
    if any(item.alias_info for item in (*schema.returns, *schema.arguments)):
        return "unknown"
    # And a tensor to take the device from.
    if not schema.returns or not any("Tensor" in str(argument.type) for argument in schema.arguments):
        return "unknown"
    if any(str(item.type) != "Tensor" for item in schema.returns):
        return "unknown"
    return "one" if len(schema.returns) == 1 else "several"


def _held(values: Iterable[object]) -> list[int]:
    """The storages of all tensors among some values."""
    found: list[int] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            found.append(value.untyped_storage()._cdata)
        elif isinstance(value, (list, tuple)):
            found += _held(value)
    return found


def _signature(values: Iterable[object]) -> Any:
    """A hashable description of arguments. Raises TypeError for what cannot be described."""
    parts: list[Any] = []
    for value in values:
        if isinstance(value, torch.Tensor):
            if not on_meta(value):
                raise TypeError
            parts.append((value.shape, value.stride(), value.dtype))
        elif isinstance(value, (list, tuple)):
            parts.append(_signature(value))
        else:
            # With the type: 1, 1.0 and True are one key to Python, and three results to torch.
            parts.append((type(value), value))
    return tuple(parts)
