"""One tensor of an adapter, as PEFT trains and saves it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from inspector.skeleton import DTYPE_BYTES

PREFIX = "base_model.model."


@dataclass(frozen=True, slots=True)
class AdapterTensor:
    """One tensor that training touches or saving writes.

    ``name`` is its key in ``adapter_model.safetensors``. ``new`` says that PEFT adds it to the model (a bias that is
    unfrozen, or an embedding that is only saved along, is already there).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    module: str
    trainable: bool = True
    new: bool = True

    @property
    def numel(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in its dtype."""
        return self.numel * DTYPE_BYTES[self.dtype]
