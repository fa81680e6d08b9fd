"""Fine-grained FP8 as transformers applies it: ``FineGrainedFP8Config`` with its default blocks of 128 x 128.

One byte a weight and one float32 scale a block, in ``FP8Linear`` and, unlike bitsandbytes, also for fused experts:
``replace_with_fp8_linear`` in transformers ``integrations/finegrained_fp8.py``. Scales are parameters, so the
footprint counts them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inspector.precision.base import Piece, Scheme

if TYPE_CHECKING:
    from inspector.precision.published import Published
    from inspector.skeleton import Module, Tensor

# The default of `weight_block_size` (transformers utils/quantization_config.py).
BLOCK = 128


@dataclass(frozen=True)
class FineGrainedFp8(Scheme):
    """float8_e4m3fn weights with a scale for each block.

    ``blocks`` are its rows and columns, empty for one scale a tensor; ``static`` is a scale of activations that is
    stored too; ``scale_dtype`` that of weights' scales. ``fp4_experts`` has experts at two values a byte.
    """

    blocks: tuple[int, ...] = (BLOCK, BLOCK)
    static: bool = False
    scale_dtype: str = "float32"
    fp4_experts: bool = False

    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """Weights of exact ``nn.Linear``, and the matrices of modules named ``experts``, unless kept."""
        if module.keep or not tensor.is_parameter:
            return False
        linear = module.base == "Linear" and module.cls == "Linear" and tensor.name.endswith("weight")
        # Three axes: the biases of experts have two, and stay.
        return linear or (module.path.endswith(".experts") and len(tensor.shape) == 3)

    def quantized(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """Weight and its block scales, in the last two axes of a stack of experts (``_alloc_expert_proj``)."""
        *stack, rows, columns = tensor.shape
        layers, blocks = math.prod(stack), self.blocks
        weight = Piece("weight", "float8_e4m3fn", tensor.numel)
        if stack and self.fp4_experts:
            weight, blocks = Piece("weight", "int8", tensor.numel // 2), (1, 32)
        high = -(-rows // blocks[0]) if blocks else 1
        wide = -(-columns // blocks[1]) if blocks else 1
        if "gate_up" in tensor.name:  # a scale for each half at least
            high = max(high, 2)
        one = self.scale_dtype if stack or blocks else "float32"
        pieces = [weight, Piece("scale", one, layers * high * wide)]
        if self.static:
            pieces.append(Piece("activation_scale", "float32", layers))
        return tuple(pieces)


def fp8() -> FineGrainedFp8:
    """FP8 with the rest in bfloat16."""
    return FineGrainedFp8(
        "fp8", 8, "transformers fine-grained FP8, the rest in bfloat16", "bfloat16", "transformers FineGrainedFP8Config"
    )


def fp8_as_published(published: Published) -> FineGrainedFp8:
    """The scheme of a checkpoint's own ``FineGrainedFP8Config``."""
    raw = published.raw
    return replace(
        fp8(),
        blocks=published.blocks,
        static=str(raw.get("activation_scheme")).lower() == "static",
        scale_dtype="float8_e8m0fnu" if raw.get("scale_fmt") == "ue8m0" else "float32",
        fp4_experts=raw.get("expert_dtype") == "fp4",
    )
