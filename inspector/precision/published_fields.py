"""What the fields of a ``quantization_config`` may hold, by method: the one table that every command asks.

Sources: transformers 5.23 utils/quantization_config.py (each class's ``post_init``; a test holds them equal),
bitsandbytes/functional.py (``quantize_4bit``), hqq core/quantize.py (``BaseQuantizeConfig``), compressed_tensors'
``CompressionFormat`` (config/base.py), ``QuantizationArgs`` (quant_args.py) and ``QuantizationStatus``
(quant_config.py), torchao 0.18 quantization/quant_api.py, mlx ``mx.quantize``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.skeleton.habits import usual

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LARGEST = 65536
"""No group or block is larger."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one field may hold. ``allowed`` says it in words, ``words`` are those among which the one meant is sought.

    ``is_open``: other words may be of a newer library, and only one that is close to a known one is a mistake.
    ``in_parts``: it may be an object, whose members have rules of their own.
    """

    allows: Callable[[object], bool]
    allowed: str
    words: tuple[str, ...] = ()
    is_open: bool = False
    in_parts: bool = False


def _words(*words: str, is_open: bool = False, in_parts: bool = False) -> Rule:
    return Rule(lambda value: str(value).lower() in words, f"known: {', '.join(words)}", words, is_open, in_parts)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)  # ``True`` is a whole number to Python


def _bits(*bits: int) -> Rule:
    said = ", ".join(map(str, bits)) if len(bits) < 9 else f"{bits[0]} to {bits[-1]}"
    return Rule(lambda value: _is_whole(value) and value in bits, f"a whole number is wanted: {said}")


_DTYPES = ("bfloat16", "float16", "float32", "float64", "int8", "uint8")
_DTYPE = Rule(lambda value: usual("dtype", value) in _DTYPES, f"known: {', '.join(_DTYPES)}", _DTYPES)
_FLAG = Rule(lambda value: isinstance(value, bool), "true or false")
_FLOAT = Rule(lambda value: isinstance(value, float), "a number with a point is wanted, such as 6.0")
_SHARE = Rule(
    lambda value: isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1,
    "a number between 0 and 1",
)
_NAMES = Rule(
    lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    'a list of modules\' names is wanted, such as ["lm_head"]',
)
_SIZES = Rule(
    lambda value: (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(_is_whole(size) and 0 < size <= LARGEST for size in value)
    ),
    "two sizes are wanted, such as [128, 128]",
)


def _is_pair(value: object) -> bool:
    """Two sizes, or the text ``128x128`` that compressed-tensors took before."""
    return (
        _SIZES.allows([int(size) if size.isdecimal() else 0 for size in value.split("x")])
        if isinstance(value, str)
        else _SIZES.allows(value)
    )


_BLOCKS = Rule(_is_pair, _SIZES.allowed)


def _size(value: object) -> bool:
    return _is_whole(value) and 0 < int(str(value)) <= LARGEST


_GROUP = Rule(lambda value: value == -1 or _size(value), "a whole number is wanted: -1 is a whole row, 128 is usual")
_POSITIVE = Rule(_size, "a whole number above 0 is wanted, such as 64")

_TORCHAO = (
    "Int4WeightOnlyConfig", "Int8WeightOnlyConfig", "Float8WeightOnlyConfig", "IntxWeightOnlyConfig",
    "Int8DynamicActivationInt8WeightConfig", "Float8DynamicActivationFloat8WeightConfig",
    "Int8DynamicActivationIntxWeightConfig", "Float8DynamicActivationInt4WeightConfig",
    "Int8StaticActivationInt8WeightConfig", "UIntXWeightOnlyConfig", "Int8DynamicActivationInt4WeightConfig",
    "Int4DynamicActivationInt4WeightConfig", "GemliteUIntXWeightOnlyConfig", "FPXWeightOnlyConfig",
    "FqnToConfig", "ModuleFqnToConfig", "MXDynamicActivationMXWeightConfig", "NVFP4WeightOnlyConfig",
    "NVFP4DynamicActivationNVFP4WeightConfig", "Float8StaticActivationFloat8WeightConfig",
)  # fmt: skip
_TORCHAO_NAMES = (
    "int4_weight_only", "int8_weight_only", "float8_weight_only", "int8_dynamic_activation_int8_weight",
    "float8_dynamic_activation_float8_weight", "int8_dynamic_activation_int4_weight", "autoquant",
)  # fmt: skip
_KIND = Rule(
    lambda value: str(value).lower() in {name.lower() for name in (*_TORCHAO, *_TORCHAO_NAMES)},
    f"known: {', '.join((*_TORCHAO[:7], *_TORCHAO_NAMES[:6]))}, ...",
    (*_TORCHAO, *_TORCHAO_NAMES),
    is_open=True,
    in_parts=True,
)
_PACKING = _words(
    "plain", "preshuffled", "plain_int32", "tile_packed_to_4d", "marlin_sparse", "opaque", is_open=True, in_parts=True
)

_OPAQUE = _words(
    "unpacked_to_int8", "opaque_aten_kleidiai", "opaque_torchao_auto", "opaque_torchao_kleidiai",
    "opaque_torchao_lowbit", is_open=True, in_parts=True,
)  # fmt: skip

_GPTQ = {
    "bits": _bits(2, 3, 4, 8), "group_size": _GROUP, "desc_act": _FLAG, "sym": _FLAG, "damp_percent": _SHARE,
    "true_sequential": _FLAG, "static_groups": _FLAG, "lm_head": _FLAG,
    "checkpoint_format": _words("gptq", "gptq_v2", "marlin", "bitblas", is_open=True),
}  # fmt: skip

FIELDS: dict[str, Mapping[str, Rule]] = {
    "bitsandbytes": {
        "load_in_4bit": _FLAG, "load_in_8bit": _FLAG, "bnb_4bit_quant_type": _words("nf4", "fp4"),
        "bnb_4bit_compute_dtype": _DTYPE, "bnb_4bit_quant_storage": _DTYPE, "bnb_4bit_use_double_quant": _FLAG,
        "llm_int8_threshold": _FLOAT, "llm_int8_skip_modules": _NAMES, "llm_int8_has_fp16_weight": _FLAG,
        "llm_int8_enable_fp32_cpu_offload": _FLAG,
    },
    "gptq": _GPTQ,
    "awq": {
        "bits": _bits(4, 8), "w_bit": _bits(4, 8), "group_size": _GROUP, "q_group_size": _GROUP, "zero_point": _FLAG,
        # The last two are autoawq's, which transformers passes on.
        "version": _words("gemm", "gemv", "gemv_fast", "llm-awq", "exllama", "ipex"),
        "modules_to_not_convert": _NAMES,
    },
    "fp8": {
        "weight_block_size": _SIZES, "activation_scheme": _words("dynamic", "static"), "dequantize": _FLAG,
        "scale_fmt": _words("float", "ue8m0"), "expert_dtype": _words("fp8", "fp4"),
        "modules_to_not_convert": _NAMES, "ignored_layers": _NAMES, "modules_to_convert": _NAMES,
    },
    "mxfp4": {"modules_to_not_convert": _NAMES, "dequantize": _FLAG},
    "hqq": {
        "nbits": _bits(1, 2, 3, 4, 8), "group_size": _POSITIVE, "axis": _bits(0, 1), "channel_wise": _FLAG,
        "optimize": _FLAG, "round_zero": _FLAG, "view_as_float": _FLAG, "offload_meta": _FLAG, "skip_modules": _NAMES,
    },
    "torchao": {
        "quant_type": _KIND, "quant_type.default._type": _KIND, "quant_type._type": _KIND, "group_size": _POSITIVE,
        "int4_packing_format": _PACKING, "int4_packing_format._data": _PACKING, "modules_to_not_convert": _NAMES,
        "intx_packing_format": _OPAQUE, "intx_packing_format._data": _OPAQUE,
        "include_input_output_embeddings": _FLAG, "untie_embedding_weights": _FLAG,
    },
    "compressed-tensors": {
        "format": _words(
            "dense", "sparse-bitmask", "sparse-24-bitmask", "int-quantized", "float-quantized", "naive-quantized",
            "pack-quantized", "marlin-24", "mixed-precision", "nvfp4-pack-quantized", "mxfp4-pack-quantized",
            "mxfp6-pack-quantized", "mxfp8-quantized", is_open=True,
        ),
        "strategy": _words("tensor", "channel", "group", "block", "token", "tensor_group", "attn_head"),
        "type": _words("int", "float"), "num_bits": _bits(*range(1, 17)), "group_size": _GROUP, "symmetric": _FLAG,
        "block_structure": _BLOCKS, "targets": _NAMES, "ignore": _NAMES, "run_compressed": _FLAG, "dequantize": _FLAG,
        "quantization_status": _words("initialized", "calibration", "frozen", "compressed", "decompressed"),
    },
    "mlx": {"bits": _bits(2, 3, 4, 5, 6, 8), "group_size": _POSITIVE},
}  # fmt: skip
"""By method and field, at any depth; a field with dots is meant at that place alone."""
