"""A GGUF file that is a header and a hole: what llama.cpp reads to price a model, of any type of file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inspector.config_json import text_fields
from inspector.lenses.kv_cache import kept_heads
from inspector.precision.gguf import gguf, gguf_architecture, gguf_names, gguf_shapes
from inspector.serving.language_part import language_part

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inspector.skeleton import Skeleton


def write_header(skeleton: Skeleton, config: Mapping[str, object], file_type: str, path: Path) -> int:
    """Write the header and make the file as long as its tensors say, without any of their bytes.

    Args:
        skeleton: the model; of one with towers its language model is written.
        config: its config.
        file_type: of `gguf_rules.FILE_TYPES`, such as ``q4_k_m``.
        path: where; the file is sparse.

    Returns:
        Bytes of all tensors.

    Raises:
        InspectorError: for an architecture that llama.cpp does not name.
    """
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quant_shape_to_byte_shape

    skeleton = language_part(skeleton)
    facts = skeleton.facts
    arch = gguf_architecture(skeleton)
    writer = GGUFWriter(path, arch, use_temp_file=False)
    for key, value in _keys(skeleton, config, arch).items():
        _add(writer, key, value)
    types = gguf(file_type).for_model(skeleton).types
    names, shapes, total = gguf_names(skeleton), gguf_shapes(skeleton), 0
    vectors = {
        ours: tensor for tensor in skeleton.own_tensors if (ours := names.get(tensor.name)) and tensor.is_parameter
    }
    for ours, tensor in vectors.items():
        kind = GGMLQuantizationType[types[tensor.name]] if len(tensor.shape) > 1 else GGMLQuantizationType.F32
        bare = ours.removesuffix(".weight") if "ssm_a" in ours else ours  # A_log is a parameter of its own
        every = {bare: shapes.get(ours, tensor.shape)}
        if "ffn_gate_exps" in ours and (up := ours.replace("ffn_gate_exps", "ffn_up_exps")) in shapes:
            every[up] = shapes[up]
        if "attn_kv_b" in ours:  # written apart, the keys' part transposed
            every = _latent_parts(ours, text_fields(config))
        for name, shape in every.items():
            stored = quant_shape_to_byte_shape(shape, kind) if kind.name not in {"F32", "F16"} else shape
            size = int(np.prod(stored)) * {"F32": 4, "F16": 2}.get(kind.name, 1)
            plain = {"F32": np.dtype(np.float32), "F16": np.dtype(np.float16)}.get(kind.name, np.dtype(np.uint8))
            writer.add_tensor_info(name, list(stored), plain, size, raw_dtype=kind)
            total += -(-size // 32) * 32
    for number in _corrected(skeleton):
        writer.add_tensor_info(f"blk.{number}.exp_probs_b.bias", [facts.num_experts], np.dtype(np.float32),
                               4 * facts.num_experts, raw_dtype=GGMLQuantizationType.F32)  # fmt: skip
        total += -(-4 * facts.num_experts // 32) * 32
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        end = -(-file.seek(0, 2) // 32) * 32
        file.truncate(end + total)
    return total


def _corrected(skeleton: Skeleton) -> list[str]:
    """Layers whose routers have a correction of each expert's score, which is a buffer of the module."""
    found = (re.search(r"\.(\d+)\.\S*e_score_correction_bias$", tensor.name) for tensor in skeleton.own_tensors)
    return [match[1] for match in found if match]


def _latent_parts(name: str, text: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """``kv_b_proj`` as converting writes it, head by head: from the latent's values to keys, and to values."""
    heads, latent = int(text["num_attention_heads"]), int(text["kv_lora_rank"])
    return {
        name.replace("attn_kv_b", "attn_k_b"): (heads, latent, int(text["qk_nope_head_dim"])),
        name.replace("attn_kv_b", "attn_v_b"): (heads, int(text["v_head_dim"]), latent),
    }


def _add(writer: Any, key: str, value: object) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, list):
        writer.add_array(key, value)
    else:
        writer.add_string(key, str(value))


def _keys(skeleton: Skeleton, config: Mapping[str, object], arch: str) -> dict[str, object]:
    text, facts = text_fields(config), skeleton.facts
    found: dict[str, object] = {
        "context_length": facts.context_length, "embedding_length": facts.hidden_size, "block_count": facts.num_layers,
        "feed_forward_length": facts.intermediate_size, "attention.head_count": facts.num_attention_heads,
        "attention.head_count_kv": kept_heads(facts, text, spread=False), "attention.key_length": facts.head_dim,
        "attention.value_length": facts.head_dim, "vocab_size": facts.vocab_size,
        "attention.layer_norm_rms_epsilon": float(text.get("rms_norm_eps") or 1e-5),
        "attention.layer_norm_epsilon": float(text.get("layer_norm_eps") or 1e-5), "rope.freq_base": 10000.0,
        "rope.dimension_count": int(facts.head_dim * float(text.get("rotary_pct") or 1)),
    }  # fmt: skip
    if facts.num_experts:
        found |= {"expert_count": facts.num_experts, "expert_used_count": facts.experts_per_token}
        size = text.get("moe_intermediate_size")
        found["expert_feed_forward_length"] = size if isinstance(size, int) else facts.intermediate_size
        shared, dense = text.get("n_shared_experts"), text.get("first_k_dense_replace")
        if isinstance(shared, int):
            found |= {
                "expert_shared_count": shared,
                "leading_dense_block_count": dense if isinstance(dense, int) else 0,
            }
            found["expert_weights_scale"] = 1.0
    if isinstance(window := text.get("sliding_window"), int) and arch.startswith(("gemma", "gpt-oss", "cohere2")):
        found["attention.sliding_window"] = window
    if isinstance(latent := text.get("kv_lora_rank"), int):
        rope, plain = int(text["qk_rope_head_dim"]), int(text["qk_nope_head_dim"])
        found |= {
            "attention.kv_lora_rank": latent, "attention.key_length": latent + rope, "attention.value_length": latent,
            "attention.key_length_mla": plain + rope, "attention.value_length_mla": int(text["v_head_dim"]),
            "attention.head_count_kv": 1, "rope.dimension_count": rope,
            "leading_dense_block_count": int(text.get("first_k_dense_replace") or 0),
            "expert_shared_count": int(text.get("n_shared_experts") or 0), "expert_weights_scale": 1.0,
        }  # fmt: skip
        if isinstance(query := text.get("q_lora_rank"), int):
            found["attention.q_lora_rank"] = query
    if arch == "llama4":
        found |= {
            "interleave_moe_layer_step": int(text.get("interleave_moe_layer_step") or 1),
            "expert_feed_forward_length": facts.intermediate_size,
            "feed_forward_length": int(text.get("intermediate_size_mlp") or facts.intermediate_size),
        }  # fmt: skip
    found |= _recurrent(text, facts.head_dim)
    if facts.model_type in {"cohere", "cohere2"}:
        found["logit_scale"] = 1.0
    if facts.model_type.startswith("granite"):
        found |= {"logit_scale": 1.0, "residual_scale": 1.0, "embedding_scale": 1.0, "attention.scale": 1.0}
    if facts.model_type == "gpt_neox":
        found["use_parallel_residual"] = bool(text.get("use_parallel_residual", True))
    return {**{f"{arch}.{key}": value for key, value in found.items()}, "tokenizer.ggml.model": "none"}


def _recurrent(text: Mapping[str, Any], head: int) -> dict[str, object]:
    """Of layers of Gated DeltaNet."""
    kernel = text.get("linear_conv_kernel_dim")
    if not isinstance(kernel, int):
        return {}
    values, width = int(text["linear_num_value_heads"]), int(text["linear_value_head_dim"])
    return {
        "ssm.conv_kernel": kernel, "ssm.state_size": int(text["linear_key_head_dim"]),
        "ssm.group_count": int(text["linear_num_key_heads"]), "ssm.time_step_rank": values,
        "ssm.inner_size": values * width, "full_attention_interval": int(text.get("full_attention_interval") or 4),
        "expert_shared_feed_forward_length": int(text.get("shared_expert_intermediate_size") or 0),
        "rope.dimension_count": int(head * float(text.get("partial_rotary_factor") or 0.25)),
    }  # fmt: skip
