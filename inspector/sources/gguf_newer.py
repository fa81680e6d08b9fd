"""Configs of architectures that transformers has a class for and its GGUF table maps in part, or not at all.

llama.cpp's words by its ``convert_hf_to_gguf.py`` (``set_gguf_parameters``). What a file's tensors do not bear out is
no config of it: `inspector.sources.gguf_source` holds every parameter against them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.checkpoint.gguf_header import Announced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.checkpoint import FileTensor

_USUAL: dict[str, str | None] = {
    "context_length": "max_position_embeddings", "block_count": "num_hidden_layers", "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size", "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads", "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta", "vocab_size": "vocab_size",
}  # fmt: skip
_HEAD = {"attention.key_length": "head_dim"}
_NORM = {"attention.layer_norm_epsilon": "layer_norm_eps"}
_EXPERTS = {"expert_used_count": "num_experts_per_tok"}
_SHARING = {
    **_EXPERTS, "expert_count": "n_routed_experts", "expert_shared_count": "n_shared_experts",
    "expert_feed_forward_length": "moe_intermediate_size", "expert_weights_scale": "routed_scaling_factor",
    "expert_weights_norm": "norm_topk_prob", "expert_group_count": "n_group",
    "expert_group_used_count": "topk_group",
}  # fmt: skip
_LINEAR = {
    "ssm.conv_kernel": "linear_conv_kernel_dim", "ssm.state_size": "linear_key_head_dim",
    "ssm.group_count": "linear_num_key_heads", "ssm.time_step_rank": "linear_num_value_heads",
}  # fmt: skip
_QWEN_EXPERTS = {
    **_EXPERTS, "expert_count": "num_experts", "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
}  # fmt: skip
FAMILIES: dict[str, tuple[str, dict[str, str | None]]] = {
    "gemma": ("gemma", {**_USUAL, **_HEAD}),
    "olmo2": ("olmo2", _USUAL),
    "olmoe": ("olmoe", {**_USUAL, **_EXPERTS, "expert_count": "num_experts"}),
    "smollm3": ("smollm3", _USUAL),
    "granite": ("granite", _USUAL),
    "command-r": ("cohere", {**_USUAL, **_NORM}),
    "cohere2": ("cohere2", {**_USUAL, **_NORM, **_HEAD, "attention.sliding_window": "sliding_window"}),
    "gptneox": ("gpt_neox", {**_USUAL, **_NORM}),
    "phi2": ("phi", {**_USUAL, **_NORM}),
    "deepseek2": ("deepseek_v2", {**_USUAL, **_SHARING}),
    "glm4moe": ("glm4_moe", {**_USUAL, **_HEAD, **_SHARING}),
    "qwen3next": ("qwen3_next", {**_USUAL, **_HEAD, **_LINEAR, **_QWEN_EXPERTS}),
    "qwen35": ("qwen3_5_text", {**_USUAL, **_HEAD, **_LINEAR}),
    "qwen35moe": ("qwen3_5_moe_text", {**_USUAL, **_HEAD, **_LINEAR, **_QWEN_EXPERTS}),
}  # fmt: skip
"""llama.cpp's architectures that transformers' table lacks: the type, and the field of each key."""

MIXTURE = ("mixtral", {**_USUAL, **_EXPERTS, "expert_count": "num_local_experts"})
"""Mixtral is written as ``llama``, with experts."""


def is_mixture(metadata: Mapping[str, object]) -> bool:
    """Whether a file of the architecture ``llama`` has experts."""
    return bool(Announced(metadata).size("expert_count"))


def gemma4_fields(metadata: Mapping[str, object], tensors: tuple[FileTensor, ...]) -> dict[str, object]:
    """What Gemma 4's config has beside transformers' table, by its header and its tensors; zeros are meant.

    Full layers have longer heads, other numbers of keys, and keys that are the values where no values are stored.
    """
    announced = Announced(metadata)
    layers = min(announced.size("block_count") or 0, 10_000)
    shapes = {tensor.name: tensor.shape for tensor in tensors}
    full = [layer for layer in range(layers) if not announced.sliding(layer)]
    sliding = [layer for layer in range(layers) if announced.sliding(layer)]
    widths = {announced.size("feed_forward_length", layer) for layer in range(layers)} - {None, 0}
    narrow = min((width for width in widths if width), default=0)
    kinds = {True: "sliding_attention", False: "full_attention"}
    found = {
        "intermediate_size": narrow,
        # The layers that share keys may have an MLP of twice the width.
        "use_double_wide_mlp": len(widths) > 1,
        "head_dim": announced.size("attention.key_length_swa"),
        "global_head_dim": announced.size("attention.key_length"),
        "num_key_value_heads": announced.size("attention.head_count_kv", sliding[0]) if sliding else None,
        "num_global_key_value_heads": announced.size("attention.head_count_kv", full[0]) if full else None,
        "attention_k_eq_v": bool(full) and f"blk.{full[0]}.attn_v.weight" not in shapes,
        "layer_types": [kinds[announced.sliding(layer)] for layer in range(layers)],
        "num_experts": announced.size("expert_count"),
        "top_k_experts": announced.size("expert_used_count"),
        "moe_intermediate_size": announced.size("expert_feed_forward_length"),
    }
    fields: dict[str, object] = {key: value for key, value in found.items() if value or value is False}
    each = announced.size("embedding_length_per_layer_input") or 0
    rows = shapes.get("per_layer_token_embd.weight", (0,))
    return {
        **fields,
        "enable_moe_block": bool(announced.size("expert_count")),
        "num_kv_shared_layers": announced.size("attention.shared_kv_layers") or 0,
        "hidden_size_per_layer_input": each,
        **({"vocab_size_per_layer_input": rows[0]} if rows and rows[0] else {}),
    }


def deepseek_fields(metadata: Mapping[str, object], tensors: tuple[FileTensor, ...]) -> dict[str, object]:
    """What DeepSeek's configs have for latent attention, and which of the models it is that are written as its second.

    Newer files have heads as attention over the latent has them, and those of the config under ``_mla``; older ones
    have the config's own. Only the third version's gate corrects its choice by a bias, and those made after it: Kimi
    K2, Moonlight, and GLM 4.7 Flash, which its tokenizer tells.
    """
    announced = Announced(metadata)
    rope = announced.size("rope.dimension_count") or 0
    key = announced.size("attention.key_length_mla") or announced.size("attention.key_length") or 0
    corrected = any("exp_probs_b" in tensor.name for tensor in tensors)
    third = "glm4_moe_lite" if metadata.get("tokenizer.ggml.pre") == "glm4" else "deepseek_v3"
    drafting = announced.size("nextn_predict_layers") or 0
    return {
        "model_type": third if corrected else "deepseek_v2",
        **({"num_hidden_layers": max(0, (announced.size("block_count") or 0) - drafting)} if drafting else {}),
        # Of the latent there is one; every head has keys of its own made of it.
        "num_key_value_heads": announced.size("attention.head_count"),
        "q_lora_rank": announced.size("attention.q_lora_rank") or None,
        "kv_lora_rank": announced.size("attention.kv_lora_rank"),
        "qk_rope_head_dim": rope,
        "qk_nope_head_dim": max(0, key - rope),
        "v_head_dim": announced.size("attention.value_length_mla") or announced.size("attention.value_length"),
        "first_k_dense_replace": announced.size("leading_dense_block_count") or 0,
    }


def glm_fields(metadata: Mapping[str, object], tensors: tuple[FileTensor, ...]) -> dict[str, object]:
    """What GLM 4.5's config has beside the table: layers without those that draft, and what the tensors show."""
    announced = Announced(metadata)
    names = {tensor.name for tensor in tensors}
    return {
        "num_hidden_layers": max(
            0, (announced.size("block_count") or 0) - (announced.size("nextn_predict_layers") or 0)
        ),
        "first_k_dense_replace": announced.size("leading_dense_block_count") or 0,
        "attention_bias": "blk.0.attn_q.bias" in names,
        "use_qk_norm": "blk.0.attn_q_norm.weight" in names,
    }


def linear_fields(metadata: Mapping[str, object], tensors: tuple[FileTensor, ...]) -> dict[str, object]:
    """What Qwen 3 Next's and 3.5's configs have beside the table: which layers see all, by their tensors.

    Source: ``Qwen3NextModel.set_gguf_parameters``, whose classes for Qwen 3.5 inherit it.
    """
    announced = Announced(metadata)
    names = {tensor.name for tensor in tensors}
    drafting = announced.size("nextn_predict_layers") or 0
    layers = max(0, min(announced.size("block_count") or 0, 10_000) - drafting)
    heads, head = announced.size("ssm.time_step_rank") or 0, announced.size("attention.key_length") or 0
    kinds = {True: "full_attention", False: "linear_attention"}
    found: dict[str, object] = {
        "num_hidden_layers": layers,
        "layer_types": [kinds[f"blk.{layer}.attn_q.weight" in names] for layer in range(layers)],
    }
    if heads and (inner := announced.size("ssm.inner_size")):
        found["linear_value_head_dim"] = inner // heads
    if head and (turned := announced.size("rope.dimension_count")):
        found["partial_rotary_factor"] = turned / head
    return found


MORE = {
    "gemma4": gemma4_fields, "deepseek2": deepseek_fields, "glm4moe": glm_fields,
    **dict.fromkeys(("qwen3next", "qwen35", "qwen35moe"), linear_fields),
}  # fmt: skip
"""What a config has beside its table, by architecture."""
