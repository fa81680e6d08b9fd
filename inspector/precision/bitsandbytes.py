"""bitsandbytes, as transformers applies it: LLM.int8 and the 4-bit types nf4 and fp4.

Only exact ``nn.Linear`` and transformers' ``Conv1D`` are replaced, and not those that transformers keeps (output head,
tied, float32): ``replace_with_bnb_linear`` in transformers ``integrations/bitsandbytes.py``. Fused experts are
parameters of other modules and stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.precision.base import Piece, Scheme

if TYPE_CHECKING:
    from inspector.skeleton import Module, Tensor

BLOCK_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)
"""Block sizes that ``bitsandbytes.functional.quantize_4bit`` takes; 64 is its default."""

_NESTED_BLOCK = 256
"""Block size of the second quantization, of absmax itself: ``quantize_4bit(compress_statistics=True)``."""


def replaced(module: Module) -> bool:
    """Whether transformers puts a bitsandbytes module in its place."""
    # As its source asks: `isinstance` of Conv1D, but `type(module) is nn.Linear`, so subclasses stay.
    exact = module.base == "Conv1D" or (module.base == "Linear" and module.cls == "Linear")
    return exact and not module.keep


@dataclass(frozen=True)
class BitsAndBytes4bit(Scheme):
    """``Linear4bit``: two weights a byte, one absmax a block, and with ``double`` the absmax quantized again.

    Constants per module, from ``quantize_4bit`` in bitsandbytes ``functional.py``: ``absmax``, ``code`` (16 float32);
    with double quantization ``absmax`` in uint8, ``offset``, and ``state2`` with its own ``absmax`` and ``code`` (256
    float32, a copy in every module). None is a parameter or buffer, so the footprint misses them all.
    """

    block_size: int = 64
    double: bool = False

    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """The weight of a replaced module."""
        return tensor.is_parameter and replaced(module) and tensor.name.endswith("weight")

    def quantized(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """Packed weight and its quantization state."""
        blocks = -(-tensor.numel // self.block_size)
        packed = Piece("weight", "uint8", -(-tensor.numel // 2))  # two to a byte; an odd last one has a byte to itself
        # The values that four bits tell apart; quantize_4bit makes them anew for every weight (`get_4bit_type`).
        code = _constant("code", "float32", 16)
        if not self.double:
            return (packed, _constant("absmax", "float32", blocks), code)
        return (
            packed,
            _constant("absmax", "uint8", blocks),
            code,
            _constant("offset", "float32", 1),  # their mean, taken off before they are quantized
            _constant("nested absmax", "float32", -(-blocks // _NESTED_BLOCK)),
            _constant("nested code", "float32", 256),  # eight bits tell as many apart
        )

    def shared(self) -> tuple[Piece, ...]:
        """``name2qmap["dynamic"]``, the map bitsandbytes copies every nested code from."""
        return (_constant("library's dynamic map", "float32", 256),) if self.double else ()


@dataclass(frozen=True)
class BitsAndBytesInt8(Scheme):
    """``Linear8bitLt``: one byte a weight and one float32 scale ``SCB`` a row (output feature)."""

    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """The weight of a replaced module."""
        return tensor.is_parameter and replaced(module) and tensor.name.endswith("weight")

    def quantized(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """Weight and scales. Rows are output features: the last axis of a ``Conv1D``, whose weight is transposed."""
        rows = tensor.shape[-1] if module.base == "Conv1D" else tensor.shape[0]
        return (Piece("weight", "int8", tensor.numel), _constant("SCB", "float32", rows))


def int8() -> BitsAndBytesInt8:
    """LLM.int8 with the rest in bfloat16."""
    return BitsAndBytesInt8(
        "int8", 8, "bitsandbytes LLM.int8, the rest in bfloat16", "bfloat16", "bitsandbytes nn.Linear8bitLt"
    )


def four_bit(kind: str, *, double: bool, block_size: int = 64) -> BitsAndBytes4bit:
    """nf4 or fp4 with the rest in bfloat16.

    Raises InspectorError for a block size bitsandbytes does not take.
    """
    if block_size not in BLOCK_SIZES:
        taken = ", ".join(map(str, BLOCK_SIZES))
        raise InspectorError(f"block size {block_size} is not one bitsandbytes takes", hint=f"choose one of {taken}")
    # 64 goes unsaid, as it is the library's default.
    name = kind + ("-dq" if double else "") + (f":{block_size}" if block_size != 64 else "")
    title = f"bitsandbytes {kind}{' with double quantization' if double else ''}, the rest in bfloat16"
    return BitsAndBytes4bit(name, 4, title, "bfloat16", "bitsandbytes nn.Linear4bit", block_size, double)


def _constant(role: str, dtype: str, numel: int) -> Piece:
    return Piece(role, dtype, numel, in_footprint=False)
