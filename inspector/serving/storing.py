"""How an engine stores a model's weights: its ``--quantization``, else what the checkpoint's config says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.precision.as_published import AsPublished, published_scheme
from inspector.precision.base import Piece, Scheme
from inspector.precision.bitsandbytes import BitsAndBytes4bit
from inspector.precision.fp8 import FineGrainedFp8
from inspector.precision.published import published_in
from inspector.precision.registry import scheme_named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.gpus import Gpu
    from inspector.skeleton import ConfigFacts, Module, Skeleton, Tensor

_NAMES = {
    "awq": "awq", "awq_marlin": "awq", "moe_wna16": "awq", "gptq": "gptq", "gptq_marlin": "gptq", "w4a16": "w4a16",
    "compressed-tensors": "w4a16", "int4": "w4a16", "modelopt_fp4": "nvfp4", "nvfp4": "nvfp4", "mxfp4": "mxfp4",
    "bitsandbytes": "nf4-dq", "hqq": "hqq",
}  # fmt: skip
_BYTE = {"fp8", "fbgemm_fp8", "modelopt", "w8a8", "w8a8_int8", "w8a8_fp8", "int8", "ptpc_fp8", "experts_int8"}
QUANTIZATIONS = (*_NAMES, *sorted(_BYTE))
_LEAST = {
    "awq": 75, "awq_marlin": 75, "moe_wna16": 75, "gptq": 60, "gptq_marlin": 75, "fp8": 80, "fbgemm_fp8": 80,
    "modelopt": 80, "modelopt_fp4": 75, "nvfp4": 75, "mxfp4": 80, "bitsandbytes": 70, "w8a8": 75, "hqq": 80,
    "compressed-tensors": 70, "w8a8_fp8": 80, "ptpc_fp8": 94,
}  # fmt: skip
"""``get_min_capability`` of vLLM's quantization configs (model_executor/layers/quantization/*.py)."""


class ByteScheme(FineGrainedFp8):
    """One byte a weight and a scale a row, as an engine makes it of plain weights, or a W8A8 checkpoint has it."""

    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """Every linear layer inside the repeated layers, and experts' matrices; routers are left alone."""
        if not tensor.is_parameter or module.layer is None or len(tensor.shape) < 2:
            return False
        linear = (
            module.base in {"Linear", "Conv1D"} and tensor.name.endswith("weight") and not module.path.endswith("gate")
        )
        return linear or module.path.endswith(".experts")

    def quantized(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """The values and a float32 scale a row."""
        rows = tensor.numel // tensor.shape[-1]
        return (Piece("weight", "float8_e4m3fn", tensor.numel), Piece("scale", "float32", rows))


class FbgemmFp8(ByteScheme):
    """Meta's FP8 checkpoints: a byte a weight in feed-forwards alone, the first and the last layer left as they are.

    Source: vLLM quantization/fbgemm_fp8.py; ``modules_to_not_convert`` of Llama 3.1 405B's.
    """

    ends: tuple[str, ...] = ()

    def for_model(self, skeleton: Skeleton) -> Scheme:
        """With the two layers of this model that stay."""
        layers = [module.layer for module in skeleton.modules if module.layer]
        made = FbgemmFp8(self.name, self.bits, self.title, self.rest, self.source)
        object.__setattr__(made, "ends", (layers[0], layers[-1]))
        return made

    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """Feed-forwards of the layers between."""
        return module.part in {"mlp", "expert"} and module.layer not in self.ends and super().quantizes(module, tensor)


@dataclass(frozen=True)
class Repacked(Scheme):
    """GPTQ as a kernel has it: the plain order of columns is not kept, and Marlin drops the zero points.

    Source: vLLM quantization/auto_gptq.py and kernels/linear/mixed_precision/{marlin,machete}.py
    (``process_weights_after_loading``). ``gone`` are the roles that become empty.
    """

    inner: Scheme
    gone: frozenset[str]

    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """As the file."""
        return self.inner.quantizes(module, tensor)

    def quantized(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """Values and scales alone."""
        return tuple(piece for piece in self.inner.quantized(module, tensor) if piece.role not in self.gone)


@dataclass(frozen=True)
class SpreadScales(Scheme):
    """Blocks of FP8 as Marlin has them on cards without FP8: a scale in 16 bits for each block's every column.

    Source: vLLM quantization/utils/marlin_utils_fp8.py (``prepare_fp8_layer_for_marlin``).
    """

    inner: FineGrainedFp8

    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """As the file."""
        return self.inner.quantizes(module, tensor)

    def quantized(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """The values, and the scales spread."""
        values, *_ = self.inner.quantized(module, tensor)
        return (values, Piece("scale", self.rest, tensor.numel // self.inner.blocks[1]))


def engine_scheme(
    skeleton: Skeleton, config: Mapping[str, object], quantization: str, dtype: str, card: Gpu, *,
    plain_constants: bool = True,
) -> Scheme:  # fmt: skip
    """The scheme of the weights on the card.

    ``plain_constants`` is whether bitsandbytes' doubly quantized constants are dequantized when they are loaded, as
    vLLM does since pull request 19742 (0.9.2).

    Raises InspectorError for a quantization that is not known, or that the card cannot run, in vLLM's words.
    """
    rest = _plain(dtype, skeleton.facts, card)
    published = published_scheme(dict(config), skeleton)
    said = published_in(dict(config))
    method = (quantization or (said.method if said else "")).lower()
    _check(method, card)
    if published is not None and (not quantization or _same(method, said.method if said else "")):
        return _as_kept(published, card, plain_constants=plain_constants)
    if not method or method in {"none", "auto"}:
        return replace(scheme_named({"float16": "fp16", "bfloat16": "bf16", "float32": "fp32"}[rest]))
    if method in _BYTE:
        made = FbgemmFp8 if method == "fbgemm_fp8" else ByteScheme
        return made(method, 8, "one byte a weight, a scale a row", rest, "vLLM Fp8LinearMethod")
    base, _, more = method.partition(":")
    if base not in _NAMES:
        raise InspectorError(
            f"--quantization {quantization} is not known here", hint=f"known: {', '.join(QUANTIZATIONS)}"
        )
    named = replace(scheme_named(f"{_NAMES[base]}:{more}" if more else _NAMES[base]), rest=rest)
    return _as_kept(named, card, plain_constants=plain_constants)


def _as_kept(scheme: Scheme, card: Gpu, *, plain_constants: bool) -> Scheme:
    """The scheme as it is after loading, where the engine repacks what the file has."""
    if isinstance(scheme, AsPublished):
        return replace(scheme, inner=_as_kept(scheme.inner, card, plain_constants=plain_constants))
    if isinstance(scheme, FineGrainedFp8) and len(scheme.blocks) == 2 and card.capability < (8, 9):
        return SpreadScales(scheme.name, scheme.bits, scheme.title, scheme.rest, scheme.source, scheme)
    if isinstance(scheme, BitsAndBytes4bit) and plain_constants:
        return replace(scheme, double=False)
    if scheme.name.startswith("gptq"):
        # Machete, which Hopper has, leaves the zero points where they are.
        gone = frozenset({"g_idx"} if card.capability == (9, 0) else {"g_idx", "qzeros"})
        return Repacked(scheme.name, scheme.bits, scheme.title, scheme.rest, scheme.source, scheme, gone)
    return scheme


def _same(asked: str, published: str) -> bool:
    return _NAMES.get(asked, asked) == _NAMES.get(published, published) or asked in {published, f"{published}_marlin"}


def _check(method: str, card: Gpu) -> None:
    least = _LEAST.get(method.partition(":")[0], 0)
    have = card.capability[0] * 10 + card.capability[1]
    if least > have:
        raise InspectorError(
            f"The quantization method {method} is not supported for the current GPU. Minimum capability: {least}. "
            f"Current capability: {have}.",
            hint=f"{card.name} runs awq, gptq or bitsandbytes" if have >= 75 else "choose a newer card",
        )


UNSTABLE = frozenset({"gemma2", "gemma3", "gemma3_text", "glm4"})
"""Models that vLLM does not run in float16 (config/model.py, ``_FLOAT16_NOT_SUPPORTED_MODELS``)."""


def _plain(dtype: str, facts: ConfigFacts, card: Gpu) -> str:
    """The dtype of what is not quantized."""
    wanted = {"half": "float16", "float": "float32", "auto": ""}.get(dtype, dtype) or facts.dtype
    if wanted == "float16" and facts.model_type in UNSTABLE and dtype in {"half", "float16"}:
        raise InspectorError(
            f"The model type {facts.model_type!r} does not support float16. Reason: Numerical instability. Please use "
            "bfloat16 or float32 instead.",
            hint="--dtype float32" if not card.bf16 else "--dtype bfloat16",
        )
    if wanted == "float32" and dtype in {"auto", ""}:
        wanted = (
            "bfloat16" if facts.model_type in UNSTABLE else "float16"
        )  # "auto" makes 16 bits of a float32 checkpoint (config/model.py, ``_resolve_auto_dtype``)
    if wanted not in {"float16", "bfloat16", "float32"}:
        raise InspectorError(f"--dtype {dtype!r:.40} is none that weights are kept in", hint="auto, half or bfloat16")
    if wanted == "bfloat16" and not card.bf16:
        if dtype == "bfloat16":
            have = f"{card.capability[0]}.{card.capability[1]}"
            raise InspectorError(
                "Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your "
                f"{card.device_name or card.name} GPU has compute capability {have}.",
                hint="--dtype half",
            )
        return "float32" if facts.model_type in UNSTABLE else "float16"
    return wanted


def expert_padding(
    method: str, card: Gpu, hidden: int, size: int, width: int, version: tuple[int, ...] = (1,)
) -> tuple[Fraction, str]:
    """How much larger MXFP4 experts are where a kernel takes whole tiles, and the kernel's name.

    Source: vLLM quantization/mxfp4.py, ``create_weights``: Marlin rounds the hidden width to 256 and the inner one to
    128, FlashInfer on Blackwell both to 256, Triton on Hopper lays out 256 columns (``HopperMXValueLayout``).
    """
    if method != "mxfp4" or not size:
        return Fraction(1), ""
    even = Fraction(size, width)
    inner = 32 * -(-size // 32 // width)  # whole blocks of 32 a rank
    if card.capability >= (10, 0) and card.capability < (12, 0):
        return Fraction(_up(hidden, 256) * _up(inner, 256)) / (hidden * even), "FlashInfer"
    if card.capability == (9, 0) and version >= (0, 14):  # logs of 0.10 and 0.11 are Marlin's
        return Fraction(16 * _up(hidden, 256) + hidden, 17 * hidden) * inner / even, "Triton"
    return Fraction(_up(hidden, 256) * _up(inner, 128)) / (hidden * even), "Marlin"


def _up(number: int, step: int) -> int:
    return -(-number // step) * step
