"""Bytes a token adds to one layer's cache on one rank, by the cache's dtype, as the engines lay it out."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.skeleton import DTYPE_BYTES

if TYPE_CHECKING:
    from inspector.serving.kv_layers import KvLayer

LATENT_FP8 = 656
"""``fp8_ds_mla``: 512 latent bytes, four float32 scales, 64 rotary values in 16 bits.

Source: vLLM v1/attention/backends/mla/flashmla_sparse.py.
"""

VLLM_DTYPES = (
    "auto", "float16", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc", "fp8_ds_mla", "int8_per_token_head",
    "fp8_per_token_head", "nvfp4",
)  # fmt: skip
"""What ``--kv-cache-dtype`` takes (vLLM config/cache.py, ``CacheDType``; SGLang's are among them, fp4 aside)."""

GGML_TYPES: dict[str, Fraction] = {
    "f32": Fraction(4), "f16": Fraction(2), "bf16": Fraction(2), "q8_0": Fraction(34, 32), "q5_1": Fraction(24, 32),
    "q5_0": Fraction(22, 32), "q4_1": Fraction(20, 32), "q4_0": Fraction(18, 32), "iq4_nl": Fraction(18, 32),
}  # fmt: skip
"""Bytes a value of llama.cpp's caches (``-ctk``, ``-ctv``): blocks of 32 with their scales, ggml-common.h."""


def heads_on_rank(heads: int, width: int) -> int:
    """Heads of keys and values on one rank: copied where there are more ranks than heads."""
    return max(1, heads // width)


def token_bytes(layer: KvLayer, dtype: str, model_dtype: str, width: int) -> int:
    """Bytes of one token in one layer on one rank, indexer keys left out.

    A latent is not shared out among ranks. Raises InspectorError for a dtype that is none.
    """
    if not layer.attends:
        return 0
    if dtype not in VLLM_DTYPES:
        raise InspectorError(f"no KV cache is kept in {dtype!r:.40}", hint=f"choose one of {', '.join(VLLM_DTYPES)}")
    plain = DTYPE_BYTES[model_dtype]
    if layer.kind == "latent":
        if dtype == "fp8_ds_mla" or (layer.index and dtype.startswith("fp8")):
            return LATENT_FP8
        return layer.key * (1 if dtype.startswith("fp8") else plain)
    heads = heads_on_rank(layer.heads, width)
    values = layer.key + layer.value
    if dtype.endswith("per_token_head"):
        return heads * (values + 2 * 4)  # a float32 scale for keys and one for values
    if dtype == "nvfp4":
        return heads * sum(size // 2 + size // 16 for size in (layer.key, layer.value))
    size = 1 if dtype.startswith("fp8") else DTYPE_BYTES.get(dtype, plain)
    return heads * values * size


def state_bytes(layer: KvLayer, width: int, *, model_bytes: int, scan_bytes: int = 4, drafts: int = 0) -> int:
    """Bytes of one sequence's state of one recurrent layer on one rank; ``drafts`` are speculated tokens."""
    if layer.state is None:
        return 0
    conv = layer.state.conv // width * (layer.state.kernel - 1 + drafts) * model_bytes
    return conv + layer.state.scan // width * scan_bytes
