"""llama.cpp's caches to the byte: full cells, window cells, latents and recurrent states.

Source: llama.cpp src/llama-kv-cache.cpp, llama-kv-cache-iswa.cpp, llama-memory-recurrent.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.serving.kv_bytes import GGML_TYPES
from inspector.serving.kv_layers import kv_layers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from inspector.serving.kv_layers import KvLayer
    from inspector.serving.llamacpp.settings import LlamaCppSettings
    from inspector.skeleton import ConfigFacts

PAD = 256
"""Cells are a multiple of so many in current code; without flash attention it was 32 in early 2025."""


WITHOUT_WINDOW = frozenset({"mistral", "mixtral", "phi3", "phimoe", "qwen2", "qwen3", "qwen3_moe", "starcoder2"})
"""Families whose window llama.cpp does not apply: read as llama, or switched off (src/llama-model.cpp, "Phi SWA is
currently disabled")."""


def llamacpp_layers(facts: ConfigFacts, config: Mapping[str, object]) -> tuple[KvLayer, ...]:
    """Each layer's cache as llama.cpp keeps it."""
    layers = kv_layers(facts, config)
    if facts.model_type not in WITHOUT_WINDOW:
        return layers
    return tuple(replace(layer, kind="full", window=0) if layer.kind == "window" else layer for layer in layers)


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of full and of window layers of all streams, and of one stream, and the bytes of each layer."""

    full: int
    window: int
    streams: int
    layers: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all layers."""
        return sum(self.layers)


def cells(layers: tuple[KvLayer, ...], settings: LlamaCppSettings, context: int) -> Cells:
    """The caches of a context of so many tokens for all slots together. Raises InspectorError for an unknown type."""
    key, value = _size(settings.cache_type_k, "-ctk"), _size(settings.cache_type_v, "-ctv")
    streams = 1 if settings.kv_unified else max(settings.parallel, 1)
    full = padded(-(-context // streams))
    window = max((layer.window for layer in layers if layer.kind in {"window", "chunked"}), default=0)
    together = settings.parallel if settings.kv_unified else 1
    kept = min(full, padded(window * together + settings.ubatch_size))
    kept = full if settings.swa_full else kept
    sizes = []
    for layer in layers:
        if layer.state is not None:  # float32, a sequence each, whatever the context
            states = layer.state.conv * (layer.state.kernel - 1) + layer.state.scan
            sizes.append(4 * states * max(settings.parallel, 1))
            continue
        if not layer.attends:
            sizes.append(0)
            continue
        count = streams * (kept if layer.kind in {"window", "chunked"} else full)
        wide = layer.heads * layer.key * key + layer.heads * layer.value * value
        sizes.append(int(count * wide))
    return Cells(full * streams, kept * streams if window else 0, streams, tuple(sizes))


PLAIN_TYPES = frozenset({"f32", "f16", "bf16"})
_PACKED_TOGETHER = 32
"""Values of a block of a packed cache (``ggml_blck_size``)."""


def check_caches(facts: ConfigFacts, settings: LlamaCppSettings, *, flash: bool) -> None:
    """Raise InspectorError for caches that llama.cpp does not make (``llama_init_from_model``)."""
    if settings.cache_type_v.lower() not in PLAIN_TYPES and not flash:
        raise InspectorError(
            "llama_init_from_model: V cache quantization requires flash_attn", hint="-fa on, or leave -ctv out"
        )
    for name, letter in ((settings.cache_type_k, "K"), (settings.cache_type_v, "V")):
        if name.lower() in GGML_TYPES and name.lower() not in PLAIN_TYPES and facts.head_dim % _PACKED_TOGETHER:
            raise InspectorError(
                f"{letter} cache type {name} with block size {_PACKED_TOGETHER} does not divide "
                f"n_embd_head_{letter.lower()}={facts.head_dim}",
                hint=f"-ct{letter.lower()} f16",
            )


def padded(count: int) -> int:
    """Cells rounded up."""
    return -(-count // PAD) * PAD


def _size(name: str, option: str) -> Fraction:
    if name.lower() not in GGML_TYPES:
        raise InspectorError(
            f"{option} {name!r:.40} is no type of a cache", hint=f"choose one of {', '.join(GGML_TYPES)}"
        )
    return GGML_TYPES[name.lower()]
