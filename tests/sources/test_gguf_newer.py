"""Dry runs of GGUF files whose architecture transformers' own table maps in part, or not at all."""

import json
import math
from dataclasses import dataclass

import pytest

from inspector.architecture import build_config, build_skeleton
from inspector.checkpoint import Checkpoint, FileTensor, Overhead
from inspector.cli.main import run
from inspector.precision.gguf import gguf_names
from inspector.sources.bundled import bundled_config
from inspector.sources.gguf import GgufHeader, merged
from inspector.sources.gguf_newer import FAMILIES, MIXTURE
from inspector.sources.gguf_source import GgufSource
from inspector.sources.resolve import locate
from tests.sources.gguf_files import ENDS, SIZES, blocks, elements, made

GEMMA = {"post_attention_norm": (256,), "post_ffw_norm": (256,), "layer_output_scale": (1,)}
SLIDING = {"attn_q": (128, 256), "attn_k": (64, 256), "attn_v": (64, 256), "attn_output": (256, 128),
           "attn_q_norm": (32,), "attn_k_norm": (32,)}  # fmt: skip
FULL = {"attn_q_norm": (64,), "attn_k_norm": (64,)}
HEADER = SIZES | {
    "attention.key_length": 64, "attention.value_length": 64, "attention.key_length_swa": 32,
    "attention.value_length_swa": 32, "attention.sliding_window": 64, "block_count": 6,
    "attention.sliding_window_pattern": [True] * 5 + [False], "attention.head_count_kv": [2, 2, 2, 2, 2, 1],
}  # fmt: skip
SHARED_KEY = {**FULL, "attn_k": (64, 256), "attn_v": None}
MOE = {
    "ffn_gate_inp": (4, 256), "ffn_gate_up_exps": (4, 128, 256), "ffn_down_exps": (4, 256, 64),
    "pre_ffw_norm_2": (256,), "post_ffw_norm_1": (256,), "post_ffw_norm_2": (256,),
}  # fmt: skip


def gemma(full, tensors=(), **more):
    """A file of six layers of Gemma 4 and its header; the last sees all."""
    found = {**ENDS, **blocks(*[SLIDING] * 5, full, **GEMMA, **more), **dict(tensors)}
    del found["output.weight"]
    return found


FORMS = {
    # 12B and 31B: keys are values in the full layers, and there are fewer of them.
    "keys as values": (gemma(SHARED_KEY), {}),
    "as many keys": (gemma({**FULL, "attn_k": (128, 256), "attn_v": (128, 256)}), {"attention.head_count_kv": 2}),
    # E2B and E4B: an embedding for each layer.
    "per-layer embeddings": (
        gemma({**FULL, "attn_k": (128, 256), "attn_v": (128, 256)},
              {"per_layer_token_embd.weight": (320, 6 * 256), "per_layer_model_proj.weight": (6 * 256, 256),
               "per_layer_proj_norm.weight": (256,)},
              inp_gate=(256, 256), proj=(256, 256), post_norm=(256,)),
        {"attention.head_count_kv": 2, "embedding_length_per_layer_input": 256},
    ),
    # Published with keys and values that nothing reads, and an MLP of twice the width in those layers.
    "layers that share": (
        gemma({**FULL, "attn_k": (128, 256), "attn_v": (128, 256)},
              {"per_layer_token_embd.weight": (320, 6 * 256), "per_layer_model_proj.weight": (6 * 256, 256),
               "per_layer_proj_norm.weight": (256,),
               **{f"blk.{block}.ffn_{kind}.weight": (256, 1024) if kind == "down" else (1024, 256)
                  for block in (4, 5) for kind in ("gate", "up", "down")}},
              inp_gate=(256, 256), proj=(256, 256), post_norm=(256,)),
        {"attention.head_count_kv": 2, "embedding_length_per_layer_input": 256, "attention.shared_kv_layers": 2,
         "attention.sliding_window_pattern": [True, False, True, True, True, False],
         "feed_forward_length": [512] * 4 + [1024] * 2},
    ),
    # 26B-A4B: the gate's and the experts' own scales, gate and up of all experts in one.
    "experts": (
        gemma(SHARED_KEY, **MOE),
        {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 64},
    ),
}  # fmt: skip
SHARED_SIZES = {"attn_q": (256, 256), "attn_output": (256, 256), "attn_k": (128, 256), "attn_v": (128, 256), **FULL}
FORMS["layers that share"][0].update(
    {f"blk.1.{kind}.weight": shape for kind, shape in SHARED_SIZES.items()},
)
FORMS["experts"][0].update(
    {f"blk.{block}.{kind}.scale": (size,) for block in range(6)
     for kind, size in (("ffn_gate_inp", 256), ("ffn_down_exps", 4))},
)  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_gemma_4_is_simulated_and_told_as_its_file_has_it(form, tmp_path, capsys):
    tensors, more = FORMS[form]
    path = made(tmp_path / "m.gguf", "gemma4", tensors, **HEADER | more)
    config = locate(path).runnable
    # Of the model that runs, the layers' scales are buffers: six numbers of the file's.
    unread = sum(math.prod(tensors[name]) for name in tensors if form == "layers that share"
                 and name.startswith(("blk.4.attn_k", "blk.4.attn_v", "blk.5.attn_k", "blk.5.attn_v")))  # fmt: skip
    assert build_skeleton(config, model_id="x").num_parameters == elements(tensors) - 6 - unread
    assert run(["simulate", "finetune", path, "--seq-len", "16"]) == 0
    capsys.readouterr()
    assert run(["simulate", "generate", path, "--prompt-len", "16", "--json"]) == 0
    weights = json.loads(capsys.readouterr().out)["weights_bytes"]
    # In bfloat16, each in blocks of 512 bytes.
    assert 0 <= weights - 2 * (elements(tensors) - unread) < 512 * len(tensors)
    assert run(["memory", path, "--scheme", "stored", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schemes"][0]["num_parameters"] == elements(tensors)
    assert run(["layers", path]) == 0
    assert "no parameters in transformers" in " ".join(capsys.readouterr().out.split())


def test_a_header_that_is_not_its_tensors_is_not_simulated(tmp_path, capsys):
    path = made(tmp_path / "m.gguf", "gemma4", gemma(SHARED_KEY), **HEADER | {"attention.head_count_kv": 2})
    assert run(["simulate", "generate", path]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


@dataclass(frozen=True)
class Made(GgufSource):
    """A source without a file."""

    stored: Checkpoint = None


MODELS = {
    "google/gemma-2b": "gemma", "allenai/OLMo-2-0425-1B": "olmo2", "allenai/OLMoE-1B-7B-0924": "olmoe",
    "HuggingFaceTB/SmolLM3-3B": "smollm3", "ibm-granite/granite-3.1-2b-base": "granite",
    "CohereLabs/aya-expanse-8b": "command-r", "CohereLabs/c4ai-command-r7b-12-2024": "cohere2",
    "EleutherAI/pythia-70m": "gptneox", "microsoft/phi-1_5": "phi2", "mistralai/Mixtral-8x7B-v0.1": "llama",
}  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_a_family_that_transformers_does_not_map_is_its_model(model):
    """A real model as a file would hold it, under a header by the words of the table: the same model comes back."""
    word = MODELS[model]
    config = bundled_config(model)
    built, skeleton = build_config(config), build_skeleton(config, model_id=model)
    _, fields = MIXTURE if word == "llama" else FAMILIES[word]
    metadata = {f"{word}.{key}": found for key, field in fields.items() if (found := getattr(built, field, None))}
    names, tensors = gguf_names(skeleton), []
    for tensor in skeleton.parameters:
        ours, shape = names[tensor.name], tensor.shape
        parts = [ours or f"none.{tensor.name}"]
        if "gate_up" in tensor.name and len(shape) == 3:
            parts, shape = [ours, ours.replace("gate_exps", "up_exps")], (shape[0], shape[1] // 2, shape[2])
        tensors += [FileTensor(part, shape, "float32", 4 * math.prod(shape)) for part in parts]
    header = GgufHeader({"general.architecture": word, **metadata}, tuple(tensors), Overhead(0, 0, 0, 0))
    source = Made("m", "m", merged("m", ["m.gguf"], [header], 1))
    assert source.skeleton.architecture == skeleton.architecture
    assert source.skeleton.num_parameters == skeleton.num_parameters
    assert source.runnable["model_type"] == skeleton.facts.model_type


def deepseek(config):
    """The header that llama.cpp's ``DeepseekV2Model.set_gguf_parameters`` writes."""
    return {
        "attention.head_count_kv": 1, "leading_dense_block_count": config.first_k_dense_replace,
        **({"attention.q_lora_rank": config.q_lora_rank} if config.q_lora_rank else {}),
        "attention.kv_lora_rank": config.kv_lora_rank,
        "attention.key_length": config.kv_lora_rank + config.qk_rope_head_dim,
        "attention.value_length": config.kv_lora_rank,
        "attention.key_length_mla": config.qk_nope_head_dim + config.qk_rope_head_dim,
        "attention.value_length_mla": config.v_head_dim, "rope.dimension_count": config.qk_rope_head_dim,
    }  # fmt: skip


def older_deepseek(config):
    """As it was before latent attention ran as it is: heads of the config, and one matrix of keys and values."""
    heads = config.qk_nope_head_dim + config.qk_rope_head_dim
    found = deepseek(config) | {"attention.key_length": heads, "attention.value_length": config.v_head_dim}
    return {key: value for key, value in found.items() if not key.endswith("_mla")}


def glm(config):
    """``Glm4MoeModel``: a layer that drafts tokens is counted among the blocks."""
    return {
        "block_count": config.num_hidden_layers + 1, "nextn_predict_layers": 1,
        "attention.head_count_kv": config.num_key_value_heads, "attention.key_length": config.head_dim,
        "leading_dense_block_count": config.first_k_dense_replace,
    }  # fmt: skip


def linear(config):
    """``Qwen3NextModel``, and those of Qwen 3.5 as well."""
    return {
        "ssm.inner_size": config.linear_value_head_dim * config.linear_num_value_heads,
        "rope.dimension_count": config.head_dim // 4, "attention.head_count_kv": config.num_key_value_heads,
        "full_attention_interval": 4,
    }  # fmt: skip


QWEN = {
    "vocab_size": 320, "hidden_size": 256, "intermediate_size": 512, "moe_intermediate_size": 128,
    "shared_expert_intermediate_size": 96, "num_experts": 8, "num_experts_per_tok": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 64, "linear_key_head_dim": 32, "linear_value_head_dim": 48,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_conv_kernel_dim": 4, "tie_word_embeddings": False,
}  # fmt: skip
GLM_FLASH = {
    "model_type": "glm4_moe_lite", "vocab_size": 320, "hidden_size": 256, "intermediate_size": 512,
    "moe_intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 4, "n_routed_experts": 8,
    "n_shared_experts": 1, "num_experts_per_tok": 2, "q_lora_rank": 64, "kv_lora_rank": 64, "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 32, "v_head_dim": 32, "first_k_dense_replace": 1, "pad_token_id": 0, "eos_token_id": 1,
}  # fmt: skip
SHARING = {
    "DeepSeek V2 Lite": ("deepseek-ai/DeepSeek-V2-Lite", "deepseek2", deepseek),
    "DeepSeek V2 Lite, older": ("deepseek-ai/DeepSeek-V2-Lite", "deepseek2", older_deepseek),
    "DeepSeek V3": ("deepseek-ai/DeepSeek-V3", "deepseek2", deepseek),
    "GLM 4.5 Air": ("zai-org/GLM-4.5-Air", "glm4moe", glm),
    "GLM 4.6": ("zai-org/GLM-4.6", "glm4moe", glm),
    "GLM 4.7 Flash": (GLM_FLASH, "deepseek2", deepseek),
    "Kimi K2": ("moonshotai/Kimi-K2-Instruct", "deepseek2", deepseek),
    "Moonlight": ({"q_lora_rank": None, "model_type": "deepseek_v3"}, "deepseek2", deepseek),
    "Qwen 3 Next": ({**QWEN, "model_type": "qwen3_next"}, "qwen3next", linear),
    "Qwen 3 Next, older": ({**QWEN, "model_type": "qwen3_next"}, "qwen3next", linear),
    "Qwen 3.5": ({**QWEN, "model_type": "qwen3_5_text"}, "qwen35", linear),
    "Qwen 3.5 MoE": ({**QWEN, "model_type": "qwen3_5_moe_text"}, "qwen35moe", linear),
}


def stored_of(skeleton, config, split):
    """A model's tensors as the converter writes them: experts apart, gates' biases, keys and values apart."""
    names, shapes = gguf_names(skeleton), {}
    for tensor in skeleton.parameters:
        ours, shape = names[tensor.name], tensor.shape
        if "gate_up" in tensor.name and len(shape) == 3:
            shape = (shape[0], shape[1] // 2, shape[2])
            shapes[ours.replace("gate_exps", "up_exps")] = shape
        if tensor.name.endswith("A_log"):
            ours = ours.removesuffix(".weight")
        if "conv1d" in ours:
            shape = (shape[0], shape[2])
        if split and "ssm_in" in ours:
            outer = config.linear_num_value_heads * config.linear_value_head_dim
            shapes[ours.replace("ssm_in", "attn_qkv")] = (shape[0] - outer, shape[1])
            shapes[ours.replace("ssm_in", "attn_gate")] = (outer, shape[1])
        elif split and "attn_kv_b" in ours:
            heads, rank = config.num_attention_heads, config.kv_lora_rank
            shapes[ours.replace("attn_kv_b", "attn_k_b")] = (heads, rank, config.qk_nope_head_dim)
            shapes[ours.replace("attn_kv_b", "attn_v_b")] = (heads, config.v_head_dim, rank)
        else:
            shapes[ours] = shape
    for tensor in skeleton.own_tensors:
        if tensor.name.endswith("e_score_correction_bias"):
            shapes[f"blk.{tensor.name.split('.')[2]}.exp_probs_b.bias"] = tensor.shape
    return shapes


@pytest.mark.parametrize("which", SHARING)
def test_models_with_shared_experts_come_back_from_their_header(which):
    model, word, write = SHARING[which]
    config = {**(model if isinstance(model, dict) else bundled_config(model)), "num_hidden_layers": 4}
    config.pop("quantization_config", None)
    built, skeleton = build_config(config), build_skeleton(config, model_id="m")
    usual = {key: getattr(built, field) for key, field in FAMILIES[word][1].items() if getattr(built, field, None)}
    metadata = {f"{word}.{key}": value for key, value in (usual | write(built)).items()}
    if which == "GLM 4.7 Flash":
        metadata["tokenizer.ggml.pre"] = "glm4"
    shapes = stored_of(skeleton, built, write is deepseek or (write is linear and "older" not in which))
    if word == "glm4moe":
        last = {name.replace("blk.3.", "blk.4."): shape for name, shape in shapes.items() if "blk.3." in name}
        shapes |= last | {"blk.4.nextn.eh_proj.weight": (built.hidden_size, 2 * built.hidden_size)}
    tensors = tuple(FileTensor(name, shape, "float32", 4 * math.prod(shape)) for name, shape in shapes.items())
    header = GgufHeader({"general.architecture": word, **metadata}, tensors, Overhead(0, 0, 0, 0))
    source = Made("m", "m", merged("m", ["m.gguf"], [header], 1))
    back = build_skeleton(source.runnable, model_id="m")
    # Kimi K2's own type is no other model than DeepSeek's third.
    assert source.runnable["model_type"] == build_config(config).model_type
    assert {(tensor.name, tensor.shape) for tensor in back.own_tensors} == \
        {(tensor.name, tensor.shape) for tensor in skeleton.own_tensors}  # fmt: skip


def test_a_file_of_deepseek_is_simulated(tmp_path, capsys):
    config = bundled_config("deepseek-ai/DeepSeek-V3") | {
        "num_hidden_layers": 2, "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4,
        "num_key_value_heads": 4, "vocab_size": 320, "n_routed_experts": 8, "moe_intermediate_size": 256, "n_group": 2,
        "topk_group": 1, "num_experts_per_tok": 2, "kv_lora_rank": 64, "q_lora_rank": 64, "qk_nope_head_dim": 32,
        "qk_rope_head_dim": 16, "v_head_dim": 32, "first_k_dense_replace": 1, "pad_token_id": 0, "bos_token_id": 0,
        "eos_token_id": 1,
    }  # fmt: skip
    config.pop("quantization_config")
    built, skeleton = build_config(config), build_skeleton(config, model_id="m")
    usual = {key: getattr(built, field) for key, field in FAMILIES["deepseek2"][1].items() if hasattr(built, field)}
    tensors = stored_of(skeleton, built, split=True)
    path = made(tmp_path / "m.gguf", "deepseek2", tensors, **usual | deepseek(built))
    assert run(["simulate", "generate", path, "--prompt-len", "16", "--max-new-tokens", "2", "--json"]) == 0
    weights = json.loads(capsys.readouterr().out)["weights_bytes"]
    assert 0 <= weights - 2 * skeleton.num_parameters < 600 * len(tensors)
    assert run(["memory", path, "--scheme", "stored", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schemes"][0]["num_parameters"] == elements(tensors)


@pytest.mark.parametrize("word", ["qwen3next", "qwen35", "qwen35moe"])
def test_a_file_of_qwen_with_linear_attention_is_simulated(word, tmp_path, capsys):
    types = {"qwen3next": "qwen3_next", "qwen35": "qwen3_5_text", "qwen35moe": "qwen3_5_moe_text"}
    config = {**QWEN, "model_type": types[word], "num_hidden_layers": 4, "pad_token_id": 0, "eos_token_id": 1}
    built, skeleton = build_config(config), build_skeleton(config, model_id="m")
    usual = {key: getattr(built, field) for key, field in FAMILIES[word][1].items() if getattr(built, field, None)}
    tensors = stored_of(skeleton, built, split=True)
    path = made(tmp_path / "m.gguf", word, tensors, **usual | linear(built))
    assert run(["simulate", "generate", path, "--prompt-len", "16", "--max-new-tokens", "2", "--json"]) == 0
    weights = json.loads(capsys.readouterr().out)["weights_bytes"]
    assert 0 <= weights - 2 * skeleton.num_parameters < 600 * len(tensors)
    assert run(["checkpoint", path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["missing"] == found["unexpected"] == found["wrong_shape"] == []
