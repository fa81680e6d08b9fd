"""Formats that pack several weights into one integer and keep a scale for each group: GPTQ, AWQ, HQQ, and more.

Predictions for a model not yet quantized: every exact ``nn.Linear`` inside the repeated layers is packed, embeddings,
norms, routers and the output head are not. Experts that transformers fuses into one parameter are packed by the tools
that quantize each expert's own linear layers, as checkpoints store them (GPTQModel models/definitions/mixtral.py,
AutoAWQ awq/models/mixtral.py, llm-compressor modeling/moe/linearize.py), and left alone by those that look for
``nn.Linear`` in the model as transformers builds it (hqq, torchao). What the tools do with a particular model may
differ: say `skip`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.precision.base import Piece, Scheme
from inspector.precision.bitsandbytes import replaced

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.skeleton import Module, Skeleton, Tensor


EXPERTS_PACKED = "each expert's linear layers are packed by themselves, as such checkpoints store them; routers are not"
"""What is said of fused experts that a tool has packed one by one."""


@dataclass(frozen=True)
class Packed(Scheme):
    """A scheme of `layouts`: what is stored for a linear layer of so many outputs and inputs.

    ``experts`` says whether the linear layers of fused experts are packed too, each by itself.
    """

    group: int
    layout: Callable[[int, int, int, int], tuple[Piece, ...]]
    experts: bool = False

    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """The weight of a plain linear layer inside a repeated layer, unless transformers keeps it."""
        inside = module.layer is not None and module.part != "head" and tensor.is_parameter
        linear = replaced(module) and tensor.name.endswith("weight")
        return inside and (linear or (self.experts and is_stack(module, tensor)))

    def quantized(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """The layout for its outputs and inputs, for each linear layer in it; a ``Conv1D`` is transposed."""
        if is_stack(module, tensor):
            layers, rows, columns = linears_of(module, tensor)
        else:
            layers, (rows, columns) = 1, tensor.shape[::-1] if module.base == "Conv1D" else tensor.shape
        # -1 is these tools' word for one group a row.
        pieces = self.layout(rows, columns, self.bits, self.group if self.group > 0 else columns)
        return tuple(replace(piece, numel=layers * piece.numel, storages=layers) for piece in pieces)

    def said_of(self, skeleton: Skeleton) -> tuple[str, ...]:
        """What becomes of fused experts, where there are some."""
        if not any(is_stack(skeleton.module_of(tensor), tensor) for tensor in skeleton.parameters):
            return ()
        if self.experts:
            return (EXPERTS_PACKED,)
        return (f"fused experts stay in {self.rest}: the library packs modules that are nn.Linear",)


@dataclass(frozen=True)
class Mxfp4(Scheme):
    """OCP MXFP4 as transformers keeps it: two values a byte, one byte of scale for each 32, for fused experts only."""

    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """The matrices of stacks of experts."""
        return tensor.is_parameter and is_stack(module, tensor)

    def quantized(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """Blocks and scales along the input axis."""
        layers, outputs, inputs = linears_of(module, tensor)
        # 32 values share a scale in the OCP specification.
        scales = layers * outputs * -(-inputs // 32)
        # The scales go to a `PrecisionConfig`, which is no parameter (transformers integrations/mxfp4.py).
        return (Piece("weight", "uint8", tensor.numel // 2), Piece("scale", "uint8", scales, in_footprint=False))


def is_stack(module: Module, tensor: Tensor) -> bool:
    """Whether it holds the matrices of all experts in one."""
    return module.path.endswith(".experts") and len(tensor.shape) == 3


def linears_of(module: Module, tensor: Tensor) -> tuple[int, int, int]:
    """How many linear layers a stack of experts holds, and the outputs and inputs of each; gate and up are two."""
    experts, rows, columns = tensor.shape
    if module.transposed or module.cls == "Llama4TextExperts":  # multiplied as they are, and not said to be transposed
        rows, columns = columns, rows
    fused = 2 if "gate_up" in tensor.name and rows % 2 == 0 else 1
    return experts * fused, rows // fused, columns


def _gptq(rows: int, columns: int, bits: int, group: int) -> tuple[Piece, ...]:
    """``qweight``, ``qzeros``, ``scales``, ``g_idx`` of AutoGPTQ's and GPTQModel's ``QuantLinear``."""
    groups = math.ceil(columns / group)
    return (
        # Not by 32 // bits: of 3 bits, 32 values go to 3 integers.
        Piece("weight", "int32", columns * bits // 32 * rows),
        Piece("qzeros", "int32", groups * (rows * bits // 32)),
        Piece("scales", "float16", groups * rows),
        Piece("g_idx", "int32", columns),  # registered always, also when the columns were not reordered
    )


def _awq(rows: int, columns: int, bits: int, group: int) -> tuple[Piece, ...]:
    """``qweight``, ``qzeros``, ``scales`` of AutoAWQ's ``WQLinear_GEMM``."""
    groups = columns // group
    return (
        Piece("weight", "int32", columns * (rows // (32 // bits))),
        Piece("qzeros", "int32", groups * (rows // (32 // bits))),
        Piece("scales", "float16", groups * rows),
    )


def _hqq(rows: int, columns: int, bits: int, group: int) -> tuple[Piece, ...]:
    """``W_q`` and its ``meta`` of hqq's ``Quantizer.quantize`` (axis 1); 3 bits go ten to an int32 (``BitPack``)."""
    groups = rows * columns // group
    # Eight bits hold two values of three and waste two bits; an int32 holds ten.
    if bits == 3:
        packed = Piece("weight", "int32", -(-groups // 10) * group)
    else:
        packed = Piece("weight", "uint8", -(-groups // (8 // bits)) * group)
    return (
        packed,
        Piece("scale", "bfloat16", groups, in_footprint=False),
        Piece("zero", "bfloat16", groups, in_footprint=False),
    )


def _pack_quantized(rows: int, columns: int, bits: int, group: int) -> tuple[Piece, ...]:
    """``weight_packed``, ``weight_scale``, ``weight_shape`` of compressed-tensors' ``pack-quantized``, symmetric."""
    return (
        Piece("weight", "int32", rows * -(-columns // (32 // bits))),
        Piece("weight_scale", "bfloat16", rows * -(-columns // group)),
        Piece("weight_shape", "int64", 2),  # rows and columns, which padding would hide
    )


def _nvfp4(rows: int, columns: int, bits: int, group: int) -> tuple[Piece, ...]:
    """``weight_packed``, ``weight_scale`` and the global scales of compressed-tensors' ``nvfp4-pack-quantized``."""
    return (
        Piece("weight", "uint8", rows * columns * bits // 8),
        Piece("weight_scale", "float8_e4m3fn", rows * -(-columns // group)),
        Piece("weight_global_scale", "float32", 1),
        Piece("input_global_scale", "float32", 1),
    )


def gptq(bits: int = 4, group: int = 128) -> Packed:
    """GPTQ with the rest in float16."""
    _one_of("gptq", bits, (2, 3, 4, 8))  # those its kernels have
    return _made("gptq", bits, group, "float16", "AutoGPTQ QuantLinear", _gptq)


def awq(bits: int = 4, group: int = 128) -> Packed:
    """AWQ (GEMM) with the rest in float16."""
    _one_of("awq", bits, (4,))  # `WQLinear_GEMM` refuses any other
    return _made("awq", bits, group, "float16", "AutoAWQ WQLinear_GEMM", _awq)


def hqq(bits: int = 4, group: int = 64) -> Packed:
    """HQQ with the rest in bfloat16."""
    _one_of("hqq", bits, (1, 2, 3, 4, 8))
    return _made("hqq", bits, group, "bfloat16", "hqq core/quantize.py, Quantizer.quantize", _hqq, experts=False)


def compressed(bits: int = 4, group: int = 128) -> Packed:
    """compressed-tensors' integer weights (``W4A16``), with the rest in bfloat16."""
    _one_of("w4a16", bits, (4, 8))
    return _made("w4a16", bits, group, "bfloat16", "compressed-tensors pack-quantized", _pack_quantized)


def nvfp4() -> Packed:
    """NVFP4 with blocks of 16 and the rest in bfloat16."""
    # A plain name: the format leaves neither bits nor blocks to choose.
    return _made("nvfp4", 4, 16, "bfloat16", "compressed-tensors nvfp4-pack-quantized", _nvfp4, plain=True)


def mxfp4() -> Mxfp4:
    """MXFP4 experts with the rest in bfloat16."""
    title = "MXFP4 for fused experts only, the rest in bfloat16"
    return Mxfp4("mxfp4", 4, title, "bfloat16", "transformers integrations/mxfp4.py, Mxfp4GptOssExperts")


def _made(
    base: str,
    bits: int,
    group: int,
    rest: str,
    source: str,
    layout: Callable[[int, int, int, int], tuple[Piece, ...]],
    *,
    plain: bool = False,
    experts: bool = True,
) -> Packed:
    if group != -1 and not 8 <= group <= 65536:
        raise InspectorError(f"{group} is no sensible group size", hint=f"write it as {base}:{bits}:128")
    name = base if plain else f"{base}:{bits}:{group}"
    per = "whole rows" if group == -1 else f"groups of {group}"
    title = f"{base} in {bits} bits, {per}, the rest in {rest}"
    return Packed(name, bits, title, rest, source, group, layout, experts)


def _one_of(base: str, bits: int, known: tuple[int, ...]) -> None:
    if bits not in known:
        raise InspectorError(f"{base} has no {bits}-bit format", hint=f"choose {' or '.join(map(str, known))}")
