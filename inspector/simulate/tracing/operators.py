"""What is looked up of an operator for every call of it, looked up once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from inspector.simulate.device.autograd_in_place import OUT_OF_PLACE
from inspector.simulate.device.random_numbers import draws

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch._ops import OpOverload

    from inspector.simulate.device.kernels import Kernels


class Known(NamedTuple):
    """An operator and its name.

    Whether a device may run it in place, whether it is a product, whether it draws random numbers, and what a kernel
    of it allocates besides its result.
    """

    func: OpOverload
    name: str
    in_place: bool
    gemm: bool
    draws: bool
    temporaries: Callable[..., Any] | None


class Operators(dict[int, Known]):
    """By their ids: an operator's hash is computed in Python, and every call would ask for it several times."""

    def __init__(self, kernels: Kernels) -> None:
        super().__init__()
        self._kernels = kernels
        self._taken: tuple[Any, dict[int, Any]] = None, {}

    def replaced(self, known: Known) -> Callable[..., Any] | None:
        """What a device runs in an operator's place; None where it runs the operator."""
        now = self._kernels.replaced
        if self._taken[0] is not now:  # a model's own ways are put in as it is loaded
            self._taken = now, {id(func): replacement for func, replacement in now.items()}
        return self._taken[1].get(id(known.func))

    def of(self, func: OpOverload) -> Known:
        """What is known of an operator."""
        return self.get(id(func)) or self._look_up(func)

    def _look_up(self, func: OpOverload) -> Known:
        # It holds the operator, whose id stays its own.
        kernels = self._kernels
        self[id(func)] = known = Known(
            func, str(func), func in OUT_OF_PLACE, func in kernels.gemms, draws(func), kernels.temporaries.get(func)
        )
        return known
