"""What a precision scheme is: a rule for which tensors it quantizes, and what it stores for one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.skeleton import DTYPE_BYTES
from inspector.units import block_bytes

if TYPE_CHECKING:
    from inspector.skeleton import Module, Skeleton, Tensor


@dataclass(frozen=True, slots=True)
class Piece:
    """One storage that holds a tensor, or a part of what it takes to read it back.

    ``role`` is ``weight`` for the values themselves, else the library's name for the constant (``absmax``, ``SCB``).
    ``in_footprint`` says whether ``get_memory_footprint()`` counts it: it sees parameters and buffers only.
    ``storages`` is more than one where a tensor of the model is kept in so many equal ones, as fused experts are.
    """

    role: str
    dtype: str
    numel: int
    in_footprint: bool = True
    storages: int = 1

    @property
    def nbytes(self) -> int:
        """Bytes of the storage, or of all of them."""
        return self.numel * DTYPE_BYTES[self.dtype]

    @property
    def allocated_bytes(self) -> int:
        """What the CUDA allocator hands out for it: blocks of 512 bytes."""
        return self.storages * block_bytes(self.nbytes // self.storages)  # the allocator rounds up each by itself


@dataclass(frozen=True)
class Scheme(ABC):
    """A way to store a model's weights.

    ``bits`` are those the name promises for a weight; ``rest`` is the dtype the model is loaded in, which everything
    not quantized has. ``source`` says where the rule comes from.
    """

    name: str
    bits: int
    title: str
    rest: str
    source: str

    def for_model(self, skeleton: Skeleton) -> Scheme:
        """The scheme for one model, for the few whose rules look at more than a tensor and its module."""
        return self

    @abstractmethod
    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """Whether the tensor of that module is stored at fewer bits than ``rest``."""

    @abstractmethod
    def quantized(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """What is stored for a tensor it quantizes, the values first."""

    def pieces(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """What is stored for a tensor of a module, quantized or not."""
        if self.quantizes(module, tensor):
            return self.quantized(module, tensor)
        # Not plainly `rest`: transformers keeps some tensors in float32 whatever is asked for.
        return (Piece("weight", tensor.loaded_dtype(self.rest), tensor.numel),)

    def shared(self) -> tuple[Piece, ...]:
        """Storages the library keeps once a process, beside the model: the allocator holds them, the model does not."""
        return ()

    def said_of(self, skeleton: Skeleton) -> tuple[str, ...]:
        """What must be said of the numbers for one model."""
        return ()

    def naive_bytes(self, parameters: int) -> int:
        """Parameters times bits, in bytes rounded up: what a calculator says."""
        return -(-parameters * self.bits // 8)
