"""Real models as GGUF files would store them, under headers of their own sizes: nothing is found to be wrong."""

import pytest
from gguf.constants import MODEL_ARCH, MODEL_ARCH_NAMES

from inspector.checkpoint import Checkpoint, FileTensor
from inspector.checkpoint.against_gguf import gguf_findings
from inspector.checkpoint.gguf_layout import FORMS
from inspector.checkpoint.gguf_tables import tables
from inspector.precision.gguf import gguf_names
from inspector.sources.bundled import bundled_config, load_bundled

MODELS = {
    "meta-llama/Llama-3.2-1B": "LLAMA", "mistralai/Mixtral-8x7B-v0.1": "LLAMA", "Qwen/Qwen2.5-0.5B": "QWEN2",
    "Qwen/Qwen3-0.6B": "QWEN3", "Qwen/Qwen3-30B-A3B": "QWEN3MOE", "google/gemma-2-2b": "GEMMA2",
    "google/gemma-3-1b-pt": "GEMMA3", "microsoft/Phi-3-mini-4k-instruct": "PHI3", "allenai/OLMo-2-0425-1B": "OLMO2",
    "HuggingFaceTB/SmolLM3-3B": "SMOLLM3", "ibm-granite/granite-3.1-2b-base": "GRANITE",
    "deepseek-ai/DeepSeek-V2-Lite": "DEEPSEEK2", "openai/gpt-oss-20b": "GPT_OSS", "openai-community/gpt2": "GPT2",
}  # fmt: skip
KEYS = {
    "embedding_length": ("hidden_size", "n_embd"), "feed_forward_length": ("intermediate_size", "n_inner"),
    "attention.key_length": ("head_dim",), "attention.value_length": ("head_dim",), "vocab_size": ("vocab_size",),
    "expert_used_count": ("num_experts_per_tok",), "expert_feed_forward_length": ("moe_intermediate_size",),
}  # fmt: skip


def as_file(model, architecture):
    """The checkpoint: experts' gate and up apart, and GPT-2's matrices the other way round, as files have them."""
    skeleton, config = load_bundled(model), bundled_config(model)
    names, facts, tensors = gguf_names(skeleton), skeleton.facts, {}
    sizes = {
        key: found
        for key, fields in KEYS.items()
        if (found := next((config[field] for field in fields if isinstance(config.get(field), int)), None))
    }
    sizes |= {"block_count": facts.num_layers, "attention.head_count": facts.num_attention_heads}
    sizes |= {"attention.head_count_kv": facts.num_key_value_heads, "expert_count": facts.num_experts}
    for tensor in skeleton.own_tensors:
        if not tensor.is_parameter:
            continue
        shape = tensor.shape[::-1] if skeleton.module_of(tensor).transposed else tensor.shape
        parts = [names[tensor.name]]
        if "gate_up" in tensor.name and len(shape) == 3:
            parts.append(parts[0].replace("ffn_gate_exps", "ffn_up_exps"))
            shape = (shape[0], shape[1] // 2, shape[2])
        tensors |= {part: FileTensor(part, shape, "float32", 4) for part in parts}
    word = MODEL_ARCH_NAMES[MODEL_ARCH[architecture]]
    header = {"general.architecture": word, **{f"{word}.{key}": value for key, value in sizes.items() if value}}
    return word, tensors, lambda tensors: Checkpoint("m", "gguf", tuple(tensors.values()), ("m",), 4, metadata=header)


@pytest.mark.parametrize("model", MODELS)
def test_a_real_model_is_sound_and_lacks_what_is_taken_away(model):
    word, tensors, file = as_file(model, MODELS[model])
    found = gguf_findings(file(tensors))
    assert found.compared
    assert found.missing == found.unexpected == found.misshapen == ()
    if word in FORMS:
        for name in ("blk.0.attn_output.weight", "token_embd.weight"):
            without = gguf_findings(file({key: tensor for key, tensor in tensors.items() if key != name}))
            assert [finding.name for finding in without.missing] == [name]


def test_tables_without_readers_are_the_packages_own():
    ours = tables("constants")
    assert {kind.name: name for kind, name in ours.MODEL_ARCH_NAMES.items()} == {
        kind.name: name for kind, name in MODEL_ARCH_NAMES.items()
    }
    assert ours.MODEL_ARCH is not MODEL_ARCH
