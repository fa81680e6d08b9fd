"""Names in the files of quantized checkpoints: which weight a stored tensor belongs to, and which format that tells.

AutoGPTQ and AutoAWQ keep qweight, qzeros, scales, g_idx; DeepSeek's FP8 weight_scale_inv; compressed-tensors
weight_packed, weight_scale and more (its ``compressors``); bitsandbytes absmax, quant_map, quant_state
(``QuantState``); gpt-oss's MXFP4 _blocks and _scales; torchao _weight_qdata, _weight_scale and more (its
``prototype.safetensors``); AQLM codes, codebooks, scales; VPTQ centroids, indices; quanto weight._data, weight._scale;
EETQ weight_scales; hqq W_q and, in words like any other's, all that is in its ``meta`` (``HQQLinear.state_dict``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from inspector.checkpoint import Checkpoint

_PARTS = re.compile(
    r"(?:\.(?:qweight|qzeros|scales|g_idx|weight_scale(?:_inv|_2)?|weight_packed|weight_shape|weight_zero_point"
    r"|weight_global_scale|weight_g_idx|input_scale|input_global_scale|output_scale|SCB|weight_format"
    r"|_weight_\w+|codes|codebooks|weight_scales|indices|centroids|weight\._(?:data|scale|shift)|(?:in|out)put_scale"
    r"|weight\.(?:absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.[\w]+)|W_q|meta))$"
)
_FUSED_PARTS = re.compile(r"_(?:blocks|scales|scale_inv)$")
_VALUES = re.compile(r"(?:\.(?:qweight|weight_packed|W_q|_weight_qdata|codes|indices|weight\._data)|_blocks|\.weight)$")
_TELLING = (
    (".W_q", "hqq"), (".g_idx", "gptq"), (".qweight", "awq"), (".weight_packed", "compressed-tensors"),
    ("._weight_qdata", "torchao"), (".codebooks", "aqlm"), (".centroids", "vptq"), (".weight._data", "quanto"),
    (".quant_state.bitsandbytes__nf4", "bitsandbytes"), (".quant_state.bitsandbytes__fp4", "bitsandbytes"),
    (".SCB", "bitsandbytes"), ("_proj_blocks", "mxfp4"), (".weight_scale_inv", "fp8"),
)  # fmt: skip
"""Endings that only one format has, the first that is there counts: GPTQ has qweight too."""


def weight_of(name: str, hqq: Collection[str] = ()) -> str:
    """The logical weight a stored tensor belongs to: itself, unless it is a packed weight or a constant of one.

    ``hqq`` are the layers of `hqq_layers`.
    """
    owner, _, last = name.rpartition(".")
    # hqq's names are words like any other's: they are constants only in a layer that has W_q.
    if owner in hqq and last != "bias":
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


def is_constant(name: str, hqq: Collection[str] = ()) -> bool:
    """Whether a stored tensor is a scale, a zero point, or another constant beside a weight."""
    return weight_of(name, hqq) != name and not _VALUES.search(name)


def hqq_layers(checkpoint: Checkpoint) -> frozenset[str]:
    """Paths of the layers that hqq packed: it names their constants plainly (``scale``, ``shape``, ``axis``)."""
    return frozenset(tensor.name[: -len(".W_q")] for tensor in checkpoint.tensors if tensor.name.endswith(".W_q"))


def method(checkpoint: Checkpoint) -> str:
    """How a checkpoint is quantized: as its config says, or as its tensors tell; empty when they tell nothing."""
    said = checkpoint.quantization.get("quant_method")
    if said or checkpoint.format != "safetensors":
        return str(said or "")
    # In this order: an ending of AWQ is one of GPTQ's as well.
    for ending, name in _TELLING:
        if any(tensor.name.endswith(ending) for tensor in checkpoint.tensors):
            return name
    return ""
