"""What each layer of a model keeps for a sequence, before any engine has cut it into blocks.

Read off the config alone, so that it is instant. Sources of the shapes: the modelling files of transformers and
vLLM's ``get_kv_cache_spec`` and ``MambaStateShapeCalculator`` (model_executor/layers/mamba/mamba_utils.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from inspector.config_json import text_fields
from inspector.errors import InspectorError
from inspector.lenses.kv_cache import kept_heads, windows_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.skeleton import ConfigFacts

Kind = Literal["full", "window", "chunked", "latent", "state", "shared", "none"]

ENCODERS = ("ForMaskedLM", "ForSequenceClassification", "ForTokenClassification", "BertModel", "ForPreTraining")
"""Endings of classes that make no text."""
INDEX_BYTES = 132
"""Of one token's indexer key (DeepSeek-V3.2): 128 values in fp8 and a float32 scale."""


@dataclass(frozen=True, slots=True)
class State:
    """A recurrent layer's state: elements of its convolution a step of the kernel, of its scan, and their heads.

    ``conv`` is the width that slides, ``kernel`` its length, ``scan`` the elements of the recurrent state.
    """

    conv: int
    kernel: int
    scan: int


@dataclass(frozen=True, slots=True)
class KvLayer:
    """One layer's cache. ``heads`` of keys and values before they are shared out among ranks; 1 for a latent."""

    kind: Kind
    heads: int = 0
    key: int = 0
    value: int = 0
    window: int = 0
    index: int = 0
    state: State | None = None

    @property
    def attends(self) -> bool:
        """Whether it keeps something for each token."""
        return self.kind in {"full", "window", "chunked", "latent"}


def kv_layers(facts: ConfigFacts, config: Mapping[str, object]) -> tuple[KvLayer, ...]:
    """Each decoder layer's cache, in order.

    Raises InspectorError for a config without attention heads.
    """
    text = text_fields(config)
    if not facts.num_attention_heads:
        raise InspectorError(
            f"{facts.model_type or 'this model'} has no attention heads", hint="an engine for decoders serves it not"
        )
    named = config.get("architectures")
    if isinstance(named, list) and named and all(str(name).endswith(ENCODERS) for name in named):
        raise InspectorError(
            f"{named[0]!s:.60} reads a text at once and keeps no KV cache",
            hint="serving is asked of models that answer",
        )
    plain = _attending(facts, text)
    kinds = _kinds(text, facts.num_layers)
    if not kinds:
        layers = [
            plain if window is None else replace(plain, kind="chunked" if chunked else "window", window=window)
            for window, chunked in (
                (window, bool(_int(text, "attention_chunk_size"))) for window in windows_of(facts, text)
            )
        ]
    else:
        state = KvLayer("state", state=_state(text, facts))
        layers = [{"state": state, "none": KvLayer("none")}.get(kind, plain) for kind in kinds]
    shared = _int(text, "num_kv_shared_layers")
    return tuple(layers[: len(layers) - shared]) + (KvLayer("shared"),) * shared


def _attending(facts: ConfigFacts, text: Mapping[str, object]) -> KvLayer:
    if latent := _int(text, "kv_lora_rank"):
        rotary = _int(text, "qk_rope_head_dim")
        return KvLayer("latent", 1, latent + rotary, 0, index=INDEX_BYTES if _int(text, "index_topk") else 0)
    heads = kept_heads(facts, text, spread=False)
    return KvLayer("full", heads, facts.head_dim, _int(text, "v_head_dim") or facts.head_dim)


def _kinds(text: Mapping[str, object], layers: int) -> list[Kind]:
    """Full attention, a state or nothing, layer by layer; empty for a model of attention alone."""
    said = text.get("layer_types") or text.get("layers_block_type") or text.get("block_types")
    words: dict[str, Kind] = {
        "full_attention": "full", "attention": "full", "linear_attention": "state", "mamba": "state",
        "mamba2": "state", "conv": "state", "short_conv": "state", "hybrid": "full", "moe": "none", "mlp": "none",
    }  # fmt: skip
    if isinstance(said, list) and any(words.get(str(word)) in {"state", "none"} for word in said):
        return [words.get(str(word), "full") for word in said][:layers]
    if pattern := str(text.get("hybrid_override_pattern") or ""):  # NemotronH: M mamba, * attention, - and E neither
        return [{"M": "state", "*": "full"}.get(letter, "none") for letter in pattern if letter != "|"]  # type: ignore[misc]
    if (linear := text.get("linear_attn_config")) and isinstance(linear, dict):  # Kimi Linear counts from one
        full = {int(number) for number in linear.get("full_attn_layers") or ()}
        return ["full" if layer + 1 in full else "state" for layer in range(layers)]
    if (every := _int(text, "full_attention_interval")) and _int(text, "linear_num_value_heads"):
        return ["full" if (layer + 1) % every == 0 else "state" for layer in range(layers)]
    if every := _int(text, "attn_layer_period"):  # Jamba
        offset = _int(text, "attn_layer_offset")
        return ["full" if layer % every == offset else "state" for layer in range(layers)]
    if isinstance(attending := text.get("full_attn_idxs") or text.get("attn_layer_indices"), list):
        return ["full" if layer in attending else "state" for layer in range(layers)]
    return []


def _state(text: Mapping[str, object], facts: ConfigFacts) -> State:
    if values := _int(text, "linear_num_value_heads"):  # Gated DeltaNet
        keys, key = _int(text, "linear_num_key_heads"), _int(text, "linear_key_head_dim")
        value = _int(text, "linear_value_head_dim")
        return State(2 * keys * key + values * value, _int(text, "linear_conv_kernel_dim"), values * value * key)
    if isinstance(linear := text.get("linear_attn_config"), dict):  # Kimi Delta Attention: q, k and v slide each
        heads, width = _int(linear, "num_heads"), _int(linear, "head_dim")
        return State(3 * heads * width, _int(linear, "short_conv_kernel_size") or 4, heads * width * width)
    if cached := _int(text, "conv_L_cache"):  # LFM2: a convolution alone
        return State(_int(text, "conv_dim") or facts.hidden_size, cached, 0)
    size = _int(text, "ssm_state_size") or _int(text, "mamba_d_state") or _int(text, "state_size")
    kernel = _int(text, "conv_kernel") or _int(text, "mamba_d_conv") or 4
    heads = _int(text, "mamba_num_heads") or _int(text, "mamba_n_heads")
    if heads:  # Mamba 2
        width = _int(text, "mamba_head_dim") or _int(text, "mamba_d_head")
        groups = _int(text, "n_groups") or _int(text, "mamba_n_groups") or 1
        inner = heads * (width or _int(text, "mamba_expand") * facts.hidden_size // heads)
        return State(inner + 2 * groups * size, kernel, inner * size)
    inner = (_int(text, "mamba_expand") or _int(text, "expand") or 2) * facts.hidden_size
    return State(inner, kernel, inner * size)


def _int(text: Mapping[str, object], key: str) -> int:
    value = text.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
