"""Random LoraConfigs: PEFT's own counts, names, shapes, dtypes, warnings and refusals are ours.

A sample of small models here; ``make every-lora`` goes through every bundled model, with as many configs as asked for.
"""

from __future__ import annotations

import json
import os
import random
import re
import warnings

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict

import inspector
from inspector.architecture import build_model, build_skeleton
from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.lora import LoraSpec
from inspector.lora.adapter import adapter
from inspector.sources.bundled import bundled_config, load_bundled, model_ids
from tests.models import distinct

pytestmark = pytest.mark.filterwarnings("ignore")

SIZES = {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
LLAMA = {
    **SIZES, "model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 3,
    "num_key_value_heads": 2, "dtype": "bfloat16", "tie_word_embeddings": True,
}  # fmt: skip
MODELS = {
    "llama": LLAMA,
    "untied": LLAMA | {"tie_word_embeddings": False, "dtype": "float16"},
    "gpt2": {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 100, "n_embd": 32, "n_layer": 2,
             "n_head": 4, "n_positions": 64},
    "bert": {**SIZES, "model_type": "bert", "architectures": ["BertForMaskedLM"], "num_hidden_layers": 2},
    "gptj": {"model_type": "gptj", "architectures": ["GPTJForCausalLM"], "vocab_size": 100, "n_embd": 32, "n_layer": 2,
             "n_head": 4, "rotary_dim": 4, "n_positions": 64},
    "mamba": {"model_type": "mamba", "architectures": ["MambaForCausalLM"], "vocab_size": 100, "hidden_size": 32,
              "state_size": 8, "num_hidden_layers": 2, "dtype": "float32"},
    "moe": LLAMA | {"model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "num_local_experts": 2},
}  # fmt: skip
SKELETONS = {}


def skeleton_of(name):
    if name not in SKELETONS:
        config = MODELS.get(name)
        SKELETONS[name] = build_skeleton(config, model_id=name) if config else load_bundled(name)
    return SKELETONS[name]


def with_peft(name, spec):
    """What PEFT makes of a config: counts, what it saves, its warnings; or the error it raises."""
    model = build_model(MODELS.get(name) or bundled_config(name), skeleton_of(name).facts.dtype)
    tokens = {layer: list(indices) for layer, indices in spec.trainable_token_indices}
    targets, left = spec.target_modules, spec.exclude_modules
    with warnings.catch_warnings(record=True) as said, torch.device("meta"):
        warnings.simplefilter("always")
        try:
            config = LoraConfig(
                r=spec.r,
                target_modules=targets if isinstance(targets, str) else list(targets),
                target_parameters=list(spec.target_parameters) or None,
                exclude_modules=(left if isinstance(left, str) else list(left)) or None,
                layers_to_transform=list(spec.layers_to_transform) or None,
                layers_pattern=list(spec.layers_pattern) or None,
                rank_pattern=dict(spec.rank_pattern),
                alpha_pattern=dict(spec.alpha_pattern),
                modules_to_save=list(spec.modules_to_save) or None,
                trainable_token_indices=tokens.get("", tokens) or None,
                bias=spec.bias,
            )
            adapted = get_peft_model(model, config)
            state = get_peft_model_state_dict(adapted)
        except (TypeError, ValueError) as error:
            return error
    saved = {key: (tuple(value.shape), str(value.dtype).removeprefix("torch.")) for key, value in state.items()}
    return adapted.get_nb_trainable_parameters(), saved, kinds(str(warning.message) for warning in said)


KINDS = (
    "no modules were excluded", "but no module was matched", "but no parameter was matched",
    "a tied layer is part of the adapter",
)  # fmt: skip
KEYS = re.compile(r"(rank_pattern|alpha_pattern) keys did not match any targeted module and were ignored: (.*)")


def kinds(lines):
    """Warnings of targets by their kind; of patterns, the keys that they name."""
    found = set()
    for line in lines:
        found |= {kind for kind in KINDS if kind in line}
        if pattern := KEYS.search(line):
            # PEFT prints a list of Python's, ours are words.
            listed = pattern[2].rstrip(".")
            words = [word.strip("'\"") for word in listed.strip("[]").split(", ")]
            found.add((pattern[1], tuple(word.replace("\\\\", "\\") for word in words)))
    return found


def without_peft(name, spec):
    skeleton = skeleton_of(name)
    try:
        made = adapter(skeleton, spec)
    except InspectorError as error:
        return error
    trainable = sum(tensor.numel for tensor in made.tensors if tensor.trainable)
    everything = skeleton.num_parameters + sum(tensor.numel for tensor in made.tensors if tensor.new)
    saved = {tensor.name: (tensor.shape, tensor.dtype) for tensor in made.tensors}
    return (trainable, everything), saved, kinds(made.warnings)


def check(name, spec):
    ours, theirs = without_peft(name, spec), with_peft(name, spec)
    assert isinstance(ours, Exception) == isinstance(theirs, Exception), (name, spec, ours, theirs)
    if not isinstance(ours, Exception):
        assert ours == theirs, (name, spec)


def random_spec(skeleton, pick):
    """A config: ``pick(items, most)`` chooses some."""
    linear = {module.path.rpartition(".")[2] for module in skeleton.modules if module.base in {"Linear", "Conv1D"}}
    names = sorted(linear)
    norms = sorted({module.path.rpartition(".")[2] for module in skeleton.modules if module.part == "norm"})
    ends = [path.rpartition(".")[2] for path in (skeleton.facts.input_embeddings, skeleton.facts.output_embeddings)]
    ends = [name for name in dict.fromkeys(ends) if name]
    stacked = {
        f"{tensor.owner.rpartition('.')[2]}.{tensor.name.rpartition('.')[2]}"
        for tensor in skeleton.parameters
        if len(tensor.shape) == 3 and skeleton.module_of(tensor).part == "expert"
    }
    layers = tuple(pick([0, 1, 7], 2))
    patterns = [*names, "^" + names[0], "proj", r"layers.0\..*"]
    saved = tuple(pick([name for name in (*norms, *ends) if not name.isdecimal()], 1))
    return LoraSpec(
        r=4,
        target_modules=tuple(pick([*names, *ends, "nothing"], 3)) or (names[0],),
        target_parameters=tuple(pick([*sorted(stacked), "nothing.weight"], 2)),
        exclude_modules=tuple(pick([*names, "nowhere"], 1)),
        layers_to_transform=layers,
        layers_pattern=tuple(pick(["layers", "h", "layer"], 1)) if layers else (),
        rank_pattern=tuple((key, 2) for key in pick(patterns, 2)),
        alpha_pattern=tuple((key, 2) for key in pick(patterns, 1)),
        modules_to_save=saved,
        trainable_token_indices=tuple((name, (1, 2)) for name in pick(["", *ends], 1) if name not in saved),
        bias=(*pick(["all", "lora_only"], 1), "none")[0],
    )


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(sorted(MODELS)))
def test_a_sample_of_configs(data, name):
    def pick(items, most):
        return data.draw(st.lists(st.sampled_from(items), max_size=most, unique=True)) if items else []

    check(name, random_spec(skeleton_of(name), pick))


@pytest.mark.parametrize("name", distinct(model_ids()) if "EVERY_LORA" in os.environ else [])
def test_every_bundled_model(name):
    chance = random.Random(name)  # noqa: S311

    def pick(items, most):
        return chance.sample(items, min(len(items), chance.randint(0, most)))

    for _ in range(int(os.environ["EVERY_LORA"])):
        check(name, random_spec(load_bundled(name), pick))


Q = {"target_modules": ("q_proj",)}
CASES = {
    "layers": ("llama", {**Q, "layers_to_transform": (0, 2)}),
    "layers below": ("gpt2", {"target_modules": ("c_attn",), "layers_to_transform": (1,), "layers_pattern": ("h",)}),
    "excluded": ("llama", {**Q, "exclude_modules": ("layers.1.self_attn.q_proj",)}),
    "excluded by an expression": ("llama", {"target_modules": "all-linear", "exclude_modules": r".*mlp.*"}),
    "excluded in vain": ("llama", {**Q, "exclude_modules": ("nope",)}),
    "all excluded": ("llama", {**Q, "exclude_modules": ("q_proj",)}),
    "tokens": ("llama", {**Q, "trainable_token_indices": (("", (1, 2, 99)),)}),
    "tokens of both ends": ("untied", {**Q, "trainable_token_indices": (("embed_tokens", (1,)), ("lm_head", (1, 2)))}),
    "tokens of a tied head alone": ("llama", {**Q, "trainable_token_indices": (("lm_head", (1, 2)),)}),
    "other tokens of two tied ends": (
        "llama",
        {**Q, "trainable_token_indices": (("embed_tokens", (1,)), ("lm_head", (1, 2)))},
    ),
    "the same tokens of two tied ends": (
        "llama",
        {**Q, "trainable_token_indices": (("embed_tokens", (1,)), ("lm_head", (1,)))},
    ),
    "tokens beside a whole head": (
        "llama",
        {**Q, "trainable_token_indices": (("", (1,)),), "modules_to_save": ("lm_head",)},
    ),
    "tokens beside a whole table": (
        "bert",
        {
            "target_modules": ("key", "decoder"),
            "trainable_token_indices": (("", (1,)),),
            "bias": "lora_only",
            "modules_to_save": ("word_embeddings",),
        },
    ),
    "tokens of what LoRA is on": (
        "untied",
        {"target_modules": ("embed_tokens",), "trainable_token_indices": (("", (1,)),)},
    ),
    "all biases, those of copies once": (
        "gpt2",
        {"target_modules": ("c_attn",), "bias": "all", "modules_to_save": ("ln_2",)},
    ),
    "a tied bias": ("bert", {"target_modules": ("key",), "bias": "all"}),
    "a tied bias and its head copied": (
        "bert",
        {"target_modules": ("key",), "bias": "all", "modules_to_save": ("decoder",)},
    ),
    "a tied bias of a target": ("bert", {"target_modules": ("decoder",), "bias": "lora_only"}),
    "a tied bias below rows and a copy": (
        "bert",
        {
            "target_modules": ("key",),
            "bias": "all",
            "modules_to_save": ("decoder",),
            "trainable_token_indices": (("", (1,)),),
        },
    ),
    "a tied end among the targets": ("llama", {"target_modules": ("q_proj", "lm_head"), "layers_to_transform": (0,)}),
    "copies in float16": ("untied", {**Q, "modules_to_save": ("embed_tokens", "lm_head")}),
    "copies in float32": ("gpt2", {"target_modules": ("c_attn",), "modules_to_save": ("wte",)}),
    "an embedding saved along": ("untied", {"target_modules": ("q_proj", "embed_tokens")}),
    "parameters": ("moe", {**Q, "target_parameters": ("experts.down_proj",)}),
    "experts by the names they had": ("moe", {"target_modules": ("q_proj", "w1", "w2", "w3")}),
    "both halves of a fused one, with an alpha": (
        "moe",
        {"target_modules": ("w1", "w3"), "alpha_pattern": (("q_proj", 2),)},
    ),
    "parameters in vain": ("llama", {**Q, "target_parameters": ("experts.down_proj",)}),
    "modules in vain": ("moe", {"target_modules": ("nope",), "target_parameters": ("experts.down_proj",)}),
    "anchored": ("llama", {**Q, "rank_pattern": (("^q_proj", 16), ("k_proj", 2))}),
    "mamba": ("mamba", {"target_modules": ("x_proj", "out_proj")}),
    "mamba's other": ("mamba", {"target_modules": ("x_proj", "in_proj")}),
    "mamba's convolution": ("mamba", {"target_modules": ("conv1d",)}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_case(case):
    name, options = CASES[case]
    check(name, LoraSpec(r=4, **options))


def test_refusals_are_in_peft_words():
    targets = {"target_modules": ("q_proj",)}
    with pytest.raises(InspectorError, match="incompatible with Mamba-based models"):
        adapter(skeleton_of("mamba"), LoraSpec(target_modules=("out_proj",)))
    with pytest.raises(InspectorError, match="has no module 'nope' to save"):
        adapter(skeleton_of("llama"), LoraSpec(**targets, modules_to_save=("nope",)))
    with pytest.raises(InspectorError, match="cannot be used when `target_modules` is a str"):
        LoraSpec(target_modules="all-linear", layers_to_transform=(1,))
    with pytest.raises(InspectorError, match="must also be specified"):
        LoraSpec(**targets, layers_pattern=("h",))
    with pytest.raises(InspectorError, match="has no token 100"):
        adapter(skeleton_of("llama"), LoraSpec(**targets, trainable_token_indices=(("", (100,)),)))


def test_each_name_is_told_by_what_it_matched():
    spec = LoraSpec(target_modules=("q_proj", "nope"), modules_to_save=("lm_head",))
    made = adapter(skeleton_of("llama"), spec)
    assert made.matched == (("q_proj", 3), ("nope", 0), ("lm_head", 1))
    assert any("matched by nothing" in line and "nope" in line for line in made.warnings)


def test_the_command_takes_every_field(capsys):
    words = ["lora", "gpt2", "--target-modules", "c_attn,c_fc", "--r", "4", "--layers-to-transform", "0-1"]
    words += ["--layers-pattern", "h", "--exclude-modules", "h.1.mlp.c_fc", "--trainable-token-indices", "5,6"]
    assert run([*words, "--alpha-pattern", "c_attn=3", "--rank-pattern", "^c_attn=2", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["matched"] == [{"name": "c_attn", "num_modules": 2}, {"name": "c_fc", "num_modules": 1}]
    assert ["^c_attn" in line for line in row["warnings"]] == [True]
    assert row["trainable_parameters"] == 2 * 4 * (768 + 2304) + 4 * (768 + 3072) + 2 * 768
    assert run(["lora", "gpt2", "--modules-to-save", "nope"]) == 2


def test_python_takes_them_too():
    report = inspector.load("gpt2").lora(r=8, target_modules=["c_attn"], spec=LoraSpec(layers_to_transform=(0,)))
    assert report.rows[0].modules == 1
