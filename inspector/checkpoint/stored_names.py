"""Names in the files of quantized checkpoints: which weight a stored tensor belongs to, and which format that tells.

AutoGPTQ and AutoAWQ keep qweight, qzeros, scales, g_idx; DeepSeek's FP8 weight_scale_inv; compressed-tensors
weight_packed, weight_scale and more (its ``compressors``); bitsandbytes absmax, quant_map, quant_state
(``QuantState``); gpt-oss's MXFP4 _blocks and _scales; torchao _weight_qdata, _weight_scale and more (its
``prototype.safetensors``); AQLM codes, codebooks, scales; VPTQ centroids, indices; quanto weight._data, weight._scale;
EETQ weight_scales; hqq W_q and, in words like any other's, all that is in its ``meta`` (``HQQLinear.state_dict``); MLX,
as plainly, a weight of 32-bit words, scales and biases (``QuantizedLinear``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inspector.config_json import is_mlx

if TYPE_CHECKING:
    from collections.abc import Collection

    from inspector.checkpoint import Checkpoint, FileTensor

_PARTS = re.compile(
    r"(?:\.(?:qweight|qzeros|scales|g_idx|weight_scale(?:_inv|_2)?|weight_packed|weight_shape|weight_zero_point"
    r"|weight_global_scale|weight_g_idx|input_scale|input_global_scale|output_scale|SCB|weight_format"
    r"|_weight_\w+|codes|codebooks|weight_scales|indices|centroids|weight\._(?:data|scale|shift)|(?:in|out)put_scale"
    r"|weight\.(?:absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.[\w]+)|W_q|meta))$"
)
_FUSED_PARTS = re.compile(r"_(?:blocks|scales|scale_inv)$")
_VALUES = re.compile(r"(?:\.(?:qweight|weight_packed|W_q|_weight_qdata|codes|indices|weight\._data)|_blocks|\.weight)$")
_SWITCH = re.compile(r"\.switch_mlp\.(gate_proj|up_proj|down_proj)\.weight$")
_TELLING = (
    (".W_q", "hqq"), (".g_idx", "gptq"), (".qweight", "awq"), (".weight_packed", "compressed-tensors"),
    ("._weight_qdata", "torchao"), (".codebooks", "aqlm"), (".centroids", "vptq"), (".weight._data", "quanto"),
    (".quant_state.bitsandbytes__nf4", "bitsandbytes"), (".quant_state.bitsandbytes__fp4", "bitsandbytes"),
    (".SCB", "bitsandbytes"), ("_proj_blocks", "mxfp4"), (".weight_scale_inv", "fp8"),
)  # fmt: skip
"""Endings that only one format has, the first that is there counts: GPTQ has qweight too."""


def weight_of(name: str, packed: Collection[str] = ()) -> str:
    """The logical weight a stored tensor belongs to: itself, unless it is a packed weight or a constant of one.

    ``packed`` are the layers of `packed_layers`.
    """
    owner, _, last = name.rpartition(".")
    # hqq's and MLX's names are words like any other's: they are constants only in a layer that they packed.
    if owner in packed and last != "bias":
        return f"{owner}.weight"
    # No part ends so, and nearly every name does: hundreds of thousands of searches spared in a large header.
    if last in {"weight", "bias"}:
        return name
    if _PARTS.search(name):
        return _PARTS.sub(".weight", name)
    # Of fused experts alone, for other names may end in _scales too.
    return _FUSED_PARTS.sub("", name) if "experts" in name else name


def is_part(name: str) -> bool:
    """Whether a name is that of a packed weight or of a constant, in any format."""
    return weight_of(name) != name


def is_constant(name: str, packed: Collection[str] = ()) -> bool:
    """Whether a stored tensor is a scale, a zero point, or another constant beside a weight."""
    return weight_of(name, packed) != name and not _VALUES.search(name)


def packed_layers(checkpoint: Checkpoint) -> frozenset[str]:
    """Paths of the layers that hqq or MLX packed: both name constants plainly (``scale``, ``axis``; ``biases``)."""
    hqq = (tensor.name[: -len(".W_q")] for tensor in checkpoint.tensors if tensor.name.endswith(".W_q"))
    return frozenset(hqq) | mlx_layers(checkpoint)


def mlx_layers(checkpoint: Checkpoint) -> frozenset[str]:
    """Paths of the layers that MLX packed: a ``weight`` of 32-bit words beside its ``scales``."""
    words = {tensor.name[: -len(".weight")] for tensor in checkpoint.tensors if _is_words(tensor)}
    # For nearly every checkpoint there are none, and its names need not be gone through again.
    if not words:
        return frozenset()
    return frozenset(owner for tensor in checkpoint.tensors if (owner := tensor.name.removesuffix(".scales")) in words)


def mlx_expert(name: str) -> str:
    """A weight of MLX's stacked experts under transformers' name for the fused ones; any other name as it is.

    Source: mlx-lm's models (``switch_mlp``, stacked by each model's ``sanitize``).
    """
    fused = {"gate_proj": "gate_up_proj", "up_proj": "gate_up_proj", "down_proj": "down_proj"}
    return _SWITCH.sub(lambda found: f".experts.{fused[found[1]]}", name)


def _is_words(tensor: FileTensor) -> bool:
    return tensor.dtype == "uint32" and tensor.name.endswith(".weight")


def method(checkpoint: Checkpoint) -> str:
    """How a checkpoint is quantized: as its config says, or as its tensors tell; empty when they tell nothing."""
    said = "mlx" if is_mlx(checkpoint.config) else checkpoint.quantization.get("quant_method")
    if said or checkpoint.format != "safetensors":
        return str(said or "")
    # In this order: an ending of AWQ is one of GPTQ's as well.
    for ending, name in _TELLING:
        if any(tensor.name.endswith(ending) for tensor in checkpoint.tensors):
            return name
    return "mlx" if mlx_layers(checkpoint) else ""
