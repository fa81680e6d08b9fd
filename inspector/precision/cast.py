"""Plain floating point: every tensor in one dtype, but for those their author pinned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.precision.base import Piece, Scheme

if TYPE_CHECKING:
    from inspector.skeleton import Module, Tensor


@dataclass(frozen=True)
class Cast(Scheme):
    """``from_pretrained(..., dtype=...)``: nothing is quantized, everything follows the dtype."""

    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """A parameter stored in the scheme's dtype counts as covered by it."""
        return tensor.is_parameter and tensor.loaded_dtype(self.rest) == self.rest

    def quantized(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """The tensor, in the dtype."""
        return (Piece("weight", self.rest, tensor.numel),)


def cast(name: str, bits: int, dtype: str) -> Cast:
    """The scheme that loads a model in a dtype."""
    return Cast(name, bits, f"{dtype}, nothing quantized", dtype, "transformers from_pretrained(dtype=...)")
