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
