"""What is looked up of an operator for every call of it, looked up once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from inspector.simulate.device.autograd_in_place import OUT_OF_PLACE
from inspector.simulate.device.random_numbers import draws

if TYPE_CHECKING:
    from torch._ops import OpOverload

    from inspector.simulate.device.kernels import Kernels


class Known(NamedTuple):
    """An operator: whether a device may run it in place, whether it is a product, whether it draws random numbers."""

    func: OpOverload
    in_place: bool
    gemm: bool
    draws: bool


class Operators(dict[int, Known]):
    """By their ids: an operator's hash is computed in Python, and every call would ask for it several times."""

    def __init__(self, kernels: Kernels) -> None:
        super().__init__()
        self._kernels = kernels

    def look_up(self, func: OpOverload) -> Known:
        """What is known of an operator from now on."""
        # It holds the operator, whose id stays its own.
        self[id(func)] = known = Known(func, func in OUT_OF_PLACE, func in self._kernels.gemms, draws(func))
        return known
