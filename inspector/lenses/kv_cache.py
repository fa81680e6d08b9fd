"""What the KV cache takes: bytes for each token, sliding windows, latent attention, and states that do not grow.

The arithmetic needs only the config, so it is instant; tests hold it equal, layer by layer, to the cache that
transformers' own model fills on the meta device. Where an architecture is not plain, the cache is read off the real
model instead (`inspector.simulate.program.decoding`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from inspector.config_json import text_fields
from inspector.errors import InspectorError
from inspector.reporting import TableReport
from inspector.skeleton import DTYPE_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.skeleton import ConfigFacts

Kind = Literal["full", "sliding", "linear", "none"]

_ALWAYS_SLIDING = {"mistral", "mixtral", "mistral3", "ministral", "phi3", "starcoder2", "phimoe"}
"""Every layer has the window, when the config has one (transformers' ``get_layer_types_and_kwargs``)."""
_PATTERN = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6, "cohere2": 4}
"""Every n-th layer is full, the others slide (``layer_types`` in each family's configuration_*.py)."""
_STATEFUL = (
    "full_attention_interval", "mamba_d_state", "ssm_state_size", "attn_layer_period", "hybrid_override_pattern",
    "layers_block_type", "linear_num_value_heads", "index_topk", "num_kv_shared_layers",
)  # fmt: skip
"""Keys of hybrid, indexed and sharing architectures, which are read off the real model."""


@dataclass(frozen=True, slots=True)
class LayerCache:
    """One layer's cache, for one sequence.

    ``token_bytes`` is what a token adds; a ``sliding`` layer keeps the last ``window - 1`` tokens (the next one makes
    the window full: transformers ``DynamicSlidingWindowLayer``). ``state_bytes`` is what does not grow.
    """

    kind: Kind
    token_bytes: int = 0
    window: int | None = None
    state_bytes: int = 0

    def nbytes(self, length: int) -> int:
        """Bytes of the tensors kept for ``length`` tokens."""
        kept = length if self.window is None else min(length, self.window - 1)
        return kept * self.token_bytes + self.state_bytes

    def static_bytes(self, length: int) -> int:
        """Bytes of a static cache made for ``length`` tokens (transformers ``StaticSlidingWindowLayer``)."""
        kept = length if self.window is None else min(length, self.window)
        return kept * self.token_bytes + self.state_bytes


@dataclass(frozen=True)
class CacheReport(TableReport):
    """The cache of a model, for one dtype. Sizes are true tensor bytes, of one sequence unless a batch is said.

    Of an encoder-decoder, ``layers`` keep the decoder's own tokens, and ``cross`` what each layer makes of the
    encoder's output: ``source`` positions, written once.
    """

    kind: ClassVar[str] = "kv_cache"

    model: str
    dtype: str
    layers: tuple[LayerCache, ...]
    assumptions: tuple[str, ...] = ()
    cross: tuple[LayerCache, ...] = ()
    source: int = 0

    @property
    def token_bytes(self) -> int:
        """Bytes a further token adds while no window is full."""
        return sum(layer.token_bytes for layer in self.layers)

    @property
    def growing_token_bytes(self) -> int:
        """Bytes a further token adds once every window is full."""
        return sum(layer.token_bytes for layer in self.layers if layer.window is None)

    @property
    def state_bytes(self) -> int:
        """Bytes that do not depend on the length."""
        return sum(layer.state_bytes for layer in self.layers)

    def nbytes(self, batch_size: int, length: int) -> int:
        """Bytes a dynamic cache holds after ``length`` tokens of each of ``batch_size`` sequences."""
        return batch_size * sum(layer.nbytes(length) for layer in self.layers) + self.cross_bytes(batch_size)

    @property
    def cross_token_bytes(self) -> int:
        """Bytes that all layers keep of one position of the encoder's output."""
        return sum(layer.token_bytes for layer in self.cross)

    def cross_bytes(self, batch_size: int) -> int:
        """Bytes kept of the encoder's output for ``batch_size`` sequences, however long the answer grows."""
        return batch_size * sum(layer.nbytes(self.source) for layer in self.cross)

    def static_bytes(self, batch_size: int, length: int) -> int:
        """Bytes a static cache for ``length`` tokens holds from the beginning."""
        return batch_size * sum(layer.static_bytes(length) for layer in self.layers) + self.cross_bytes(batch_size)


def cache_report(model_id: str, facts: ConfigFacts, config: Mapping[str, object], dtype: str = "") -> CacheReport:
    """The cache of a model by arithmetic.

    Args:
        model_id: its name, for the report.
        facts: the facts of its skeleton.
        config: content of its ``config.json``.
        dtype: dtype the model runs in; its own by default.

    Raises:
        InspectorError: when the architecture is not plain attention; read the cache off the real model instead.
    """
    text = text_fields(config)
    # By value: a config may carry such a key as null or 0, and then there is nothing of the kind in the model.
    stateful = [key for key in _STATEFUL if text.get(key)]
    if stateful or not facts.num_attention_heads:
        raise InspectorError(
            f"the cache of {facts.model_type} is not plain attention ({', '.join(stateful) or 'no attention heads'})",
            hint="`inspector simulate generate` reads it off the real model",
        )
    dtype = dtype or facts.dtype
    token = _token_elements(facts, text) * DTYPE_BYTES[dtype]
    windows = windows_of(facts, text)
    layers = tuple(
        LayerCache("full", token) if window is None else LayerCache("sliding", token, window) for window in windows
    )
    assumptions = [f"keys and values are kept in {dtype}, as the model computes them"]
    if text.get("kv_lora_rank"):
        # What older releases kept: a head's key in its two parts, and its value.
        key = sum(_size(text, name) for name in ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"))
        expanded = facts.num_attention_heads * key * DTYPE_BYTES[dtype]
        assumptions.append(
            "latent attention keeps its latents, as transformers 5.20 and newer do; expanded to every head they would "
            f"be {expanded:,} bytes a token and layer"
        )
    return CacheReport(model_id, dtype, layers, tuple(assumptions))


def _token_elements(facts: ConfigFacts, text: Mapping[str, object]) -> int:
    """Elements of one token's key and value in one layer.

    Latent attention (DeepSeek) keeps the compressed latent and the rotary part of the key, shared by all heads:
    transformers modeling_deepseek_v2.py and modeling_deepseek_v3.py, ``forward`` of the attention.
    """
    if text.get("kv_lora_rank"):
        return _size(text, "kv_lora_rank") + _size(text, "qk_rope_head_dim")
    return 2 * kept_heads(facts, text) * facts.head_dim


def kept_heads(facts: ConfigFacts, text: Mapping[str, object], *, spread: bool = True) -> int:
    """Heads of keys and values that a layer keeps; ``spread`` over all queries where transformers does so."""
    if facts.model_type != "falcon":
        return facts.num_key_value_heads
    # Its new decoder spreads the few heads over all queries before it fills the cache (modeling_falcon.py,
    # `num_kv_heads` in the attention's forward), so these are what is kept.
    if text.get("new_decoder_architecture"):
        few = text.get("num_kv_heads")
        return facts.num_attention_heads if spread or not isinstance(few, int) else few
    return facts.num_attention_heads if not text.get("multi_query", True) else 1


def windows_of(facts: ConfigFacts, text: Mapping[str, object]) -> list[int | None]:
    """The window of each layer, None for full attention."""
    layers = range(facts.num_layers)
    window, chunk = _size(text, "sliding_window"), _size(text, "attention_chunk_size")
    # First, as in transformers (cache_utils.py, `get_layer_types_and_kwargs`): where the list is given, it decides.
    types = _each_layer(text, "layer_types", facts.num_layers, str)
    if types:
        size = {"sliding_attention": window or None, "chunked_attention": chunk or None}
        return [size.get(kind) for kind in types]
    # Llama 4: layers with rotary positions see chunks, those without see everything (configuration_llama4.py).
    if chunk:
        every = _size(text, "no_rope_layer_interval", 4) or facts.num_layers + 1  # one past the end: no layer
        rope = _each_layer(text, "no_rope_layers", facts.num_layers, int)
        rope = rope or [(layer + 1) % every for layer in layers]
        return [chunk if rope[layer] else None for layer in layers]
    if not window:
        return [None] * facts.num_layers
    # Before the flags below: these families alternate without any.
    if facts.model_type in _PATTERN:
        every = _size(text, "sliding_window_pattern") or _PATTERN[facts.model_type]
        return [window if (layer + 1) % every else None for layer in layers]
    # Qwen publishes a window that it does not use: without the flag there is none, and 28 layers come before the
    # first that has it when the config does not say (defaults of configuration_qwen2.py).
    if "use_sliding_window" in text or facts.model_type.startswith("qwen"):
        first = _size(text, "max_window_layers", 28) if text.get("use_sliding_window") else facts.num_layers
        return [window if layer >= first else None for layer in layers]
    return [window if facts.model_type in _ALWAYS_SLIDING else None] * facts.num_layers


def _size(text: Mapping[str, object], key: str, default: int = 0) -> int:
    """A whole number in the config, ``default`` where it is not set."""
    value = text.get(key)
    if value is None or value is False:
        return default if value is None else 0  # False says that there is none, which a default must not undo
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InspectorError(f"{key} is {str(value)[:40]!r}, not a whole number", hint="mend the config.json")
    return value


def _each_layer(text: Mapping[str, object], key: str, layers: int, kind: type) -> list[Any]:
    """A list in the config with an entry a layer, empty where it is not set."""
    found = text.get(key) or []
    if not isinstance(found, list) or (found and len(found) != layers) or not all(isinstance(of, kind) for of in found):
        raise InspectorError(f"{key} is no list of {layers} entries, one a layer", hint="mend the config.json")
    return found
