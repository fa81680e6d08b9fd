"""Every tensor of an adapter, its name, shape and dtype, and PEFT's own counts: equal to PEFT's on the meta device."""

import warnings
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file

from inspector.architecture import build_model, build_skeleton
from inspector.errors import InspectorError
from inspector.lora import LoraSpec, adapter_tensors, target_sets
from inspector.lora.filesize import safetensors_bytes
from inspector.sources.bundled import bundled_config, load_bundled
from tests.models import of_other_names


def with_peft(config, spec):
    """Trainable and all parameters as PEFT prints them, and the state it would save."""
    model = build_model(config, "bfloat16")
    targets = spec.target_modules
    adapters = LoraConfig(
        r=spec.r,
        lora_alpha=spec.alpha,
        target_modules=targets if isinstance(targets, str) else list(targets),
        target_parameters=list(spec.target_parameters) or None,
        use_dora=spec.use_dora,
        use_rslora=spec.use_rslora,
        bias=spec.bias,
        modules_to_save=list(spec.modules_to_save) or None,
        rank_pattern=dict(spec.rank_pattern),
    )
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        adapted = get_peft_model(model, adapters)
        state = get_peft_model_state_dict(adapted)
    counts = adapted.get_nb_trainable_parameters()
    return counts, {name: (tuple(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in state.items()}


def without_peft(skeleton, spec):
    tensors = adapter_tensors(skeleton, replace(spec, base_dtype="bfloat16"))  # in which the real one is built above
    trainable = sum(tensor.numel for tensor in tensors if tensor.trainable)
    everything = skeleton.num_parameters + sum(tensor.numel for tensor in tensors if tensor.new)
    return (trainable, everything), {tensor.name: (tensor.shape, tensor.dtype) for tensor in tensors}


def both(model, spec):
    return without_peft(load_bundled(model), spec), with_peft(bundled_config(model), spec)


GEMMA_4 = {
    "model_type": "gemma4", "architectures": ["Gemma4ForConditionalGeneration"], "dtype": "bfloat16",
    "text_config": {
        "model_type": "gemma4_text", "num_hidden_layers": 6, "hidden_size": 64, "intermediate_size": 128,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "global_head_dim": 16, "vocab_size": 320,
        "vocab_size_per_layer_input": 320, "hidden_size_per_layer_input": 8,
    },
    "vision_config": {
        "model_type": "gemma4_vision", "num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 64,
        "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16,
    },
}  # fmt: skip


def test_a_tower_that_wraps_its_linear_modules_leaves_the_language_model_its_sets():
    """Gemma 4's vision has modules of the same names that PEFT stops at; the sets name the language model's alone."""
    skeleton = build_skeleton(GEMMA_4, model_id="gemma4")
    sets = {found.name: found for found in target_sets(skeleton)}
    assert sets.keys() == {"attention", "q+v", "mlp", "all-linear", "default"}
    for found in sets.values():
        spec = LoraSpec(r=4, target_modules=found.target_modules)
        assert without_peft(skeleton, spec) == with_peft(GEMMA_4, spec), found.name
    for name in ("attention", "q+v", "mlp"):
        spec = LoraSpec(r=4, target_modules=sets[name].target_modules)
        assert all("language_model" in tensor.name for tensor in adapter_tensors(skeleton, spec))


@pytest.mark.slow
@pytest.mark.parametrize("depth", of_other_names(), ids=str)
def test_every_target_set_of_every_model(depth):
    """Models that differ in widths alone have one among them; `make every-lora` goes through all."""
    skeleton, config = depth.skeleton(), depth.config()
    for found in target_sets(load_bundled(depth.model)):
        spec = LoraSpec(r=8, target_modules=found.target_modules, target_parameters=found.target_parameters)
        assert without_peft(skeleton, spec) == with_peft(config, spec), found.name


GPT2, OPT, LLAMA, QWEN, MOE = (
    "openai-community/gpt2", "facebook/opt-350m", "meta-llama/Llama-3.2-1B", "Qwen/Qwen2.5-0.5B", "Qwen/Qwen3-30B-A3B",
)  # fmt: skip

OPTIONS = {
    "dora on a transposed linear": (GPT2, {"target_modules": ("c_attn",), "use_dora": True}),
    "an embedding, saved along": (GPT2, {"target_modules": ("c_attn", "wte")}),
    "a tied embedding": (LLAMA, {"target_modules": ("q_proj", "embed_tokens")}),
    "a tied head": (LLAMA, {"target_modules": ("q_proj", "lm_head")}),
    "rslora": (QWEN, {"target_modules": ("q_proj",), "use_rslora": True}),
    "all biases": (OPT, {"target_modules": ("q_proj",), "bias": "all"}),
    "biases of the targets": (OPT, {"target_modules": ("q_proj", "fc1"), "bias": "lora_only"}),
    "biases and dora": (QWEN, {"target_modules": ("q_proj",), "bias": "lora_only", "use_dora": True}),
    "a tied head copied": (LLAMA, {"target_modules": ("q_proj",), "modules_to_save": ("lm_head",)}),
    "both ends copied": (LLAMA, {"target_modules": ("q_proj",), "modules_to_save": ("embed_tokens", "lm_head")}),
    "every norm copied": (LLAMA, {"target_modules": ("q_proj",), "modules_to_save": ("norm",)}),
    "ranks by pattern": (
        LLAMA,
        {"target_modules": ("q_proj", "v_proj"), "rank_pattern": (("q_proj", 4), (r"layers.0\..*v_proj", 2))},
    ),
    "a regular expression": (LLAMA, {"target_modules": r".*\.(q|embed)_(proj|tokens)"}),
    "a regular expression for experts": (MOE, {"target_modules": r".*mlp.experts\.(gate|up|down)_proj"}),
    "experts by parameter": (MOE, {"target_modules": ("q_proj",), "target_parameters": ("experts.down_proj",)}),
    "all-linear, dora and a head": (
        LLAMA,
        {"target_modules": "all-linear", "use_dora": True, "modules_to_save": ("lm_head",)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OPTIONS)
def test_every_option(case):
    model, options = OPTIONS[case]
    spec = LoraSpec(r=8, **options)
    ours, pefts = both(model, spec)
    assert ours == pefts


@pytest.mark.parametrize("case", ["dora on a transposed linear", "all biases", "every norm copied", "ranks by pattern"])
def test_the_file_is_that_large_to_the_byte(case, tmp_path):
    model, options = OPTIONS[case]
    tensors = adapter_tensors(load_bundled(model), LoraSpec(r=8, **options))
    state = {tensor.name: torch.zeros(tensor.shape, dtype=getattr(torch, tensor.dtype)) for tensor in tensors}
    save_file(state, tmp_path / "adapter_model.safetensors", metadata={"format": "pt"})
    assert safetensors_bytes(tensors) == (tmp_path / "adapter_model.safetensors").stat().st_size


def test_naming_half_of_a_fused_parameter_is_refused_as_peft_refuses_it():
    spec = LoraSpec(target_modules=("gate_proj",))
    with pytest.raises(InspectorError, match="gate_proj is fused into gate_up_proj"):
        without_peft(load_bundled(MOE), spec)
    with pytest.raises(ValueError, match="Cannot convert PEFT target"):
        with_peft(bundled_config(MOE), spec)
