"""Composite operators, which PyTorch hands over whole for the tensors that inference mode makes."""

from __future__ import annotations

import functools
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from inspector.simulate.script.child.by_value import ByValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch._ops import OpOverload


class TakenApart(ByValue):
    """Autograd takes composite operators apart before a mode sees them; tensors of inference mode have no autograd."""

    composites: Mapping[OpOverload, Callable[..., Any]] = MappingProxyType({})
    """Operators that CUDA takes apart in its own way."""
    _parts: ClassVar[dict[OpOverload, Callable[..., Any] | None]] = {}

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        parts = self._taken_apart(func)
        if parts is None:
            return self._operator(func, args, kwargs or {})
        with self:
            return parts(*args, **(kwargs or {}))

    def _operator(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What one of the parts does."""
        raise NotImplementedError

    def _taken_apart(self, func: OpOverload) -> Callable[..., Any] | None:
        """How a composite operator is done; None for one that is a kernel of its own."""
        try:
            return self._parts[func]
        except KeyError:
            whole = torch._C.DispatchKey.CompositeImplicitAutograd
            parts = self.composites.get(func)
            has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
            # Some have a kernel as well, which devices take (``silu_backward``, native_functions.yaml).
            if parts is None and has_kernel(func.name(), whole) and not has_kernel(func.name(), "CPU"):
                parts = functools.partial(func._op_dk, whole)
            self._parts[func] = parts
            return parts
