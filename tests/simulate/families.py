"""A small valid config for every causal language model family that transformers has."""

from __future__ import annotations

from typing import Any

LAYERS = 4
_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers")
_INNER = ("text_config", "decoder", "thinker_config", "language_config", "llm_config")

ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_QWEN4 = {
    "indexer_n_heads": 16,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 256,
    "indexer_budget": 2048,
    "indexer_compress_ratio": 32,
}
OVERRIDES: dict[str, dict[str, Any]] = {
    "deepseek_v2": {"n_group": 1, "topk_group": 1, "num_experts_per_tok": 2, "topk_method": "greedy"},
    "blenderbot": {"encoder_layers": 4},
    "cohere_compass_text": {"rope_parameters": dict.fromkeys(("full_attention", "sliding_attention"), ROPE)},
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "clip_qkv": 8}},
    "dots1": {"n_routed_experts": 8, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "gemma3n_text": {
        "num_hidden_layers": 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "num_kv_shared_layers": 2,
        "activation_sparsity_pattern": [0.95, 0.0, 0.0, 0.0],
        "intermediate_size": 2048,
    },
    "granitemoehybrid": {"num_hidden_layers": 4, "layer_types": ["mamba", "attention", "mamba", "attention"]},
    "hrm_text": {"num_hidden_layers": 1, "H_cycles": 2, "L_cycles": 1, "L_bp_cycles": [1]},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128},
    "jamba": {"attn_layer_period": 4, "attn_layer_offset": 1},
    "lfm2_moe": {"num_hidden_layers": 4, "layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "ministral": {"head_dim": 128},
    "nemotron": {"head_dim": 128, "num_key_value_heads": 8},
    "reformer": {
        "is_decoder": True,
        "axial_pos_shape": [8, 8],
        "lsh_attn_chunk_length": 64,
        "local_attn_chunk_length": 64,
    },
    "qwen4_exp": {"text_config": _QWEN4},
    "qwen4_exp_text": _QWEN4,
    "xlstm": {"num_blocks": 4},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2},
    "zamba2": {"num_hidden_layers": 4, "layers_block_type": ["linear_attention", "hybrid"] * 2},
}
"""Fields whose defaults leave a config of the family incomplete."""


def families() -> list[str]:
    """The model types that `AutoModelForCausalLM` knows."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def small_config(model_type: str, *, mixed: bool = True) -> Any:
    """The family's default config with four layers; a wrapper's language model when its own class builds only that.

    ``mixed`` puts every kind of layer among the four where the config lists kinds; else they are its first four.
    """
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = CONFIG_MAPPING[model_type](**OVERRIDES.get(model_type, {}))
    return _cut(_buildable(config, model_type), mixed=mixed)


def _buildable(config: Any, model_type: str) -> Any:
    """A config that names the class it is for: the multimodal one when the causal class takes only the inner config."""
    import transformers
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    )

    causal = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]
    cls = getattr(transformers, causal if isinstance(causal, str) else causal[0])
    wanted = getattr(cls, "config_class", None)
    if wanted is None or isinstance(config, wanted):
        config.architectures = [cls.__name__]
        return config
    if model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        config.architectures = [MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[model_type]]
        return config
    inner = config.get_text_config(decoder=True)
    return inner if isinstance(inner, wanted) else config


def _cut(config: Any, *, mixed: bool) -> Any:
    for name in _INNER:
        inner = getattr(config, name, None)
        if inner is not None and hasattr(inner, "to_dict"):
            _cut(inner, mixed=mixed)
    before = 0
    for name in _COUNTS:
        value = config.__dict__.get(name)
        if isinstance(value, int) and value > LAYERS:
            before = value
            setattr(config, name, LAYERS)
    for name, value in list(config.__dict__.items()):
        if before and isinstance(value, list) and len(value) == before:
            setattr(config, name, _kinds_first(value) if mixed else value[:LAYERS])
    return config


def _kinds_first(values: list[Any]) -> list[Any]:
    """Four entries of a list with one for each layer, with every kind that fits among them."""
    chosen = list(dict.fromkeys(value for value in values if not isinstance(value, (dict, list))))[:LAYERS]
    return (chosen + values[: LAYERS - len(chosen)]) if chosen else values[:LAYERS]
