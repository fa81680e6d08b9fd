"""Fine-grained FP8 as transformers applies it: ``FineGrainedFP8Config`` with its default blocks of 128 x 128.

One byte a weight and one float32 scale a block, in ``FP8Linear`` and, unlike bitsandbytes, also for fused experts:
``replace_with_fp8_linear`` in transformers ``integrations/finegrained_fp8.py``. Scales are parameters, so the
footprint counts them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.precision.base import Piece, Scheme

if TYPE_CHECKING:
    from inspector.skeleton import Module, Tensor

# The default of `weight_block_size` (transformers utils/quantization_config.py).
BLOCK = 128


@dataclass(frozen=True)
class FineGrainedFp8(Scheme):
    """float8_e4m3fn weights with a scale for each block of 128 x 128."""

    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """Weights of exact ``nn.Linear``, and the matrices of modules named ``experts``, unless kept."""
        if module.keep or not tensor.is_parameter:
            return False
        linear = module.base == "Linear" and module.cls == "Linear" and tensor.name.endswith("weight")
        # Three axes: the biases of experts have two, and stay.
        return linear or (module.path.endswith(".experts") and len(tensor.shape) == 3)

    def quantized(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """Weight and its block scales, in the last two axes of a stack of experts."""
        *stack, rows, columns = tensor.shape
        scales = math.prod(stack) * -(-rows // BLOCK) * -(-columns // BLOCK)
        return (Piece("weight", "float8_e4m3fn", tensor.numel), Piece("scale", "float32", scales))


def fp8() -> FineGrainedFp8:
    """FP8 with the rest in bfloat16."""
    return FineGrainedFp8(
        "fp8", 8, "transformers fine-grained FP8, the rest in bfloat16", "bfloat16", "transformers FineGrainedFP8Config"
    )
