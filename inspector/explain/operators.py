"""What the line that asked for memory was computing, and so which sort of tensor it asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.explain.frames import Frame

Family = Literal[
    "weight", "flat", "state", "gradient", "logits", "scores", "mask", "mlp", "attention", "hidden", "cache", "merged"
]
"""Sorts of tensors. ``mlp``, ``attention`` and ``hidden`` are activations, ``scores`` matrices of tokens by tokens,
``flat`` many parameters in one (FSDP, DeepSpeed), ``merged`` an adapter's product, as large as its weight."""


@dataclass(frozen=True, slots=True)
class Operator:
    """What is being done, the sorts of tensors it makes, the likeliest first, and the widths of their numbers.

    ``families`` is empty where the line may have asked for any of them, as a whole backward pass may. ``fuses`` says
    that the code keeps in one tensor what the model has apart.
    """

    name: str
    pattern: str
    families: tuple[Family, ...]
    widths: tuple[float, ...] = ()
    fuses: bool = False


OPERATORS = (
    Operator("gathering the evaluation's logits",
             r"nested_concat|pad_across_processes|preds_host|all_preds|gather_for_metrics|nested_gather|"
             r"torch_pad_and_concatenate|evaluation_loop.*cat", ("logits",), (4, 2)),
    Operator("cross-entropy", r"cross_entropy|nll_loss|ForCausalLMLoss|selective_log_softmax|get_batch_logps|"
             r"batch_logps|logps_from_logits|log_softmax|logsumexp|loss_fct\(", ("logits",), (4, 2)),
    Operator("logits in float32", r"logits\b[^=\n]*\.float\(\)|logits\.to\(.*float32|convert_to_fp32|upcast.*logits",
             ("logits",), (4,)),
    Operator("logits", r"logits|lm_head\(|embed_out\(|output_projection\(", ("logits",), (2, 4)),
    Operator("the optimizer", r"_foreach_|exp_avg|[\\/]optim[\\/]|optimizer\.step|optimizer_step|"
             r"init_state\(|state_steps|_init_group|initialize_optimizer_states|zeros_like\(p\b|single_partition_of_fp32|"
             r"create_fp32_partition|fp32_groups|master_params|momentum_buffer", ("state", "flat"), (4, 2, 1)),
    Operator("dequantizing a weight", r"dequantize|dequant_|matmul_4bit|MatMul4Bit", ("weight",), (2, 4)),
    Operator("8-bit weights", r"undo_layout|MatMul8bitLt|igemmlt|get_tile|extract_outliers|int8_.*(?:row|vector)wise",
             ("weight",), (1, 2)),
    Operator("reducing gradients", r"reduce_scatter|_post_backward|reduce_ipg|average_tensor|allreduce_bucket|"
             r"reduce_independent|_reduce_grad", ("flat", "gradient"), (2, 4)),
    Operator("gathering parameters", r"flat_param|_unshard|all_gather|_alloc_storage|flatten_tensors|"
             r"flatten_dense_tensors|partition_parameters|_allgather_param|FlatParam", ("flat", "weight"), (2, 4)),
    Operator("merging an adapter", r"merge_and_unload|get_delta_weight|merge_adapter|\bdelta_weight|"
             r"lora_B.*@.*lora_A|weight_B @ weight_A", ("merged", "weight"), (4, 2)),
    Operator("the causal mask", r"causal_mask|_prepare_4d|\btriu\b|\btril\b|_make_.*mask|attention_mask\s*=.*expand",
             ("mask",), (2, 4, 1)),
    Operator("the key-value cache", r"cache_utils|past_key_value|key_cache|kv_cache|DynamicCache|StaticCache|"
             r"SlidingWindow.*Cache", ("cache",), (2, 4)),
    Operator("attention scores", r"attn_weights|attention_scores|attention_probs|baddbmm|attn_score|"
             r"scaled_dot_product_attention|alibi|sdpa_attention", ("scores", "mask", "attention"), (2, 4)),
    Operator("the MLP", r"act_fn|gate_proj|up_proj|down_proj|\bsilu\b|\bgelu\b|swiglu|dense_h_to_4h|dense_4h_to_h|"
             r"\bc_fc\b|\bfc1\(|\bfc2\(|self\.mlp\(", ("mlp", "hidden"), (2, 4)),
    Operator("rotary positions", r"rotary|rotate_half", ("attention",), (4, 2)),
    Operator("attention's projections", r"[qkvo]_proj\(|query_key_value\(|qkv_proj\(|W_pack\(|c_attn\(|repeat_kv",
             ("attention",), (2, 4)),
    Operator("a norm", r"layer_?norm|rms_?norm|RMSNorm|LayerNorm|hidden_states\.to\(", ("hidden",), (4, 2)),
    Operator("the embedding", r"F\.embedding|torch\.embedding|embed_tokens\(|\bwte\(|word_embeddings\(|inputs_embeds",
             ("hidden",), (2, 4)),
    Operator("resizing the embedding", r"resize_token_embeddings|_get_resized_embeddings", ("weight",), (2, 4)),
    Operator("an engine's loading of weights", r"[\\/](?:vllm|sglang|lmdeploy|text_generation_server)[\\/].*"
             r"(?:__init__|create_weights|weight_loader|load_weights|load_model)", ("weight", "flat"), (), fuses=True),
    Operator("loading or moving weights", r"load_state_dict|_load_state_dict|set_module_tensor_to_device|"
             r"_load_parameter|create_weights|_materialize|weight_loader|load_weights|loading weights|safe_open|"
             r"t\.to\(|\.to\(device|\.to\(self\.device|param\[|param_applied|\bconvert\b|\.cuda\(|from_pretrained|"
             r"load_checkpoint|torch\.empty\(|state_dict\(|save_pretrained|saving a checkpoint|named_parameters",
             ("weight", "flat"), ()),
    Operator("the backward pass", r"run_backward|\.backward\(|_engine_run", ()),
)  # fmt: skip
"""Looked for in this order in one frame, from the innermost frame outwards."""

_COMPILED = tuple((operator, re.compile(operator.pattern, re.IGNORECASE)) for operator in OPERATORS)
_WIDE = re.compile(r"float32|\.float\(\)")
_CALLED = re.compile(r"self\.(\w+)\(")
_NEAREST = 12
"""Frames, from the innermost, in which the operator is looked for: further out they tell what the program is."""


def operator_of(frames: Sequence[Frame], above: Sequence[str] = ()) -> Operator | None:
    """What was being done; without frames by the three lines of text above the error."""
    if frames:
        # torch's own dispatching frames say nothing, and would use the nearest ones up.
        told = [f"{frame.path} {frame.function} {frame.code}" for frame in frames if "_call_impl" not in frame.function]
        nearest = told[::-1][:_NEAREST]
    else:
        nearest = [line for line in list(above)[-6:][::-1] if line.strip()][:3]
    for words in nearest:
        for operator, pattern in _COMPILED:
            if pattern.search(words):
                # A line that says float32 makes its numbers so, whatever is usual for it.
                wide = len(operator.widths) > 1 and _WIDE.search(words)
                return replace(operator, widths=tuple(sorted(operator.widths, reverse=True))) if wide else operator
    return None


def called_modules(frames: Sequence[Frame]) -> tuple[str, ...]:
    """Names of the modules whose calls led there, the innermost first: ``down_proj``, ``mlp``."""
    names = [name for frame in reversed(frames[-_NEAREST * 2 :]) for name in reversed(_CALLED.findall(frame.code))]
    return tuple(dict.fromkeys(names))
