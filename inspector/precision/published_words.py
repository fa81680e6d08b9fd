"""Words of a ``quantization_config`` that its method does not know: which field, what is known, what is meant perhaps.

The libraries take some of them without a word and store something else than is meant, or fail where one is first used.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.skeleton.habits import usual

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DTYPES = ("bfloat16", "float16", "float32", "float64", "int8", "uint8")
WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "bitsandbytes": {
        "bnb_4bit_quant_type": ("nf4", "fp4"),
        "bnb_4bit_compute_dtype": DTYPES,
        "bnb_4bit_quant_storage": DTYPES,
    },
    "awq": {"version": ("gemm", "gemv", "gemv_fast", "llm-awq", "exllama", "ipex")},
    "compressed-tensors": {
        "format": (
            "dense", "sparse-bitmask", "sparse-24-bitmask", "int-quantized", "float-quantized", "naive-quantized",
            "pack-quantized", "marlin-24", "mixed-precision", "nvfp4-pack-quantized", "mxfp4-pack-quantized",
            "mxfp6-pack-quantized", "mxfp8-quantized",
        ),
        "strategy": ("tensor", "channel", "group", "block", "token", "tensor_group", "attn_head"),
        "type": ("int", "float"),
        "quantization_status": ("initialized", "calibration", "frozen", "compressed", "decompressed"),
    },
}  # fmt: skip
"""By method and field. Sources: bitsandbytes/functional.py (``quantize_4bit``); transformers' ``AwqFormat``, with the
two that autoawq wrote besides; compressed_tensors' ``CompressionFormat`` (config/base.py), ``QuantizationStrategy`` and
``QuantizationType`` (quant_args.py), ``QuantizationStatus`` (quant_config.py)."""


_OTHERS = ("transform_config", "sparsity_config")
"""Parts of a config with words of their own."""


def check_words(method: str, raw: Mapping[str, Any]) -> None:
    """Refuse a word that the method does not know, by its field. Raises InspectorError."""
    known = WORDS.get(method, {})
    for path, name, value in _leaves(raw, "quantization_config"):
        words = known.get(name)
        if words is None or value is None:
            continue
        said = usual("dtype", value) if words is DTYPES else str(value)
        if said.lower() in words or (words is DTYPES and said in DTYPES):
            continue
        close = difflib.get_close_matches(said.lower(), words, n=3)
        mean = f"did you mean {' or '.join(close)}? " if close else ""
        raise InspectorError(
            f"{path} is {value!r:.60}, which {method} does not know", hint=f"{mean}known: {', '.join(words)}"
        )


def _leaves(value: Mapping[str, Any], path: str, depth: int = 0) -> Iterator[tuple[str, str, object]]:
    for name, inner in value.items():
        if name in _OTHERS:
            continue
        if isinstance(inner, dict) and depth < 4:
            yield from _leaves(inner, f"{path}.{name}", depth + 1)
        elif not isinstance(inner, dict | list):
            yield f"{path}.{name}", str(name), inner
