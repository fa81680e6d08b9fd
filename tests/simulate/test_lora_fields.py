"""Every field of LoRA in a dry run: what is counted under adapters is what PEFT trains on the same model."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
from peft import LoraConfig, get_peft_model

import inspector
from inspector.architecture import build_model
from inspector.cli.main import run
from inspector.simulate.finetuning import finetune, question, trace
from inspector.simulate.program.training import trace_finetune
from tests.simulate.conftest import events_of_a_moment

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128, "dtype": "float16",
    "max_position_embeddings": 64, "attention_bias": True, "tie_word_embeddings": False,
}  # fmt: skip
MOE = LLAMA | {
    "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "num_local_experts": 2, "num_experts_per_tok": 1,
    "num_hidden_layers": 2, "dtype": "bfloat16",
}  # fmt: skip
SMALL = {"method": "lora", "seq_len": 16, "steps": 1, "r": 8}
CASES = {
    "some layers": (LLAMA, {"layers_to_transform": [0, 2], "layers_pattern": ["layers"]}),
    "without a path": (LLAMA, {"exclude_modules": ["layers.1.self_attn.q_proj"]}),
    "without an expression": (LLAMA, {"exclude_modules": r".*\.[01]\.self_attn.*"}),
    "other ranks": (LLAMA, {"rank_pattern": {"q_proj": 16, r"layers\.0\.self_attn\.v_proj": 32}}),
    "another alpha": (LLAMA, {"alpha_pattern": {"q_proj": 3}}),
    "all biases": (LLAMA, {"bias": "all"}),
    "biases of the targets": (LLAMA, {"bias": "lora_only"}),
    "stacked experts": (MOE, {"target_parameters": ["experts.down_proj"]}),
    "whole modules": (LLAMA, {"modules_to_save": ["lm_head"]}),
}


def trained(config, **fields):
    """Bytes that PEFT trains, each tensor in blocks of 512 as the allocator hands them out, and their number."""
    made = LoraConfig(r=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False, **fields)
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        model = get_peft_model(build_model(config, config["dtype"]), made)
    tensors = [each for each in model.parameters() if each.requires_grad]
    return sum(-(-each.nbytes // 512) * 512 for each in tensors), len(tensors)


@pytest.mark.parametrize("case", CASES)
def test_adapters_are_what_peft_trains(case):
    config, fields = CASES[case]
    report = finetune(config, target_modules=["q_proj", "v_proj"], **SMALL, **fields)
    alive = {share.name: share.nbytes for share in report.alive_at_peak}
    assert alive["adapters"] == trained(config, **fields)[0]


def test_rows_of_tokens_train_beside_what_they_were():
    plain, rows = (
        finetune(LLAMA, target_modules="q_proj", **SMALL | {"steps": 2}, **more)
        for more in ({}, {"trainable_token_indices": [1, 2]})
    )
    grown = {share.name: share.nbytes for share in rows.alive_at_peak}
    for share in plain.alive_at_peak:
        grown[share.name] -= share.nbytes
    # Two rows of 64 numbers: float32 as adapters are, the base's own float16 beside them (`trainable_tokens_original`).
    assert (grown["adapters"], grown["optimizer state"]) == (1024, 2 * 512)


@pytest.mark.parametrize("fields", [{"layers_to_transform": [0, 12]}, {"rank_pattern": {"q_proj": 4}}], ids=str)
def test_many_layers_are_as_they_are_one_by_one(fields):
    """Layers that are chosen by number are all traced, those that are alike are told by a few."""
    asked = question(LLAMA | {"num_hidden_layers": 13}, target_modules="q_proj", **SMALL, **fields)
    setup, gpu = asked.resolved.setup, asked.gpu
    whole = trace_finetune(asked.config, setup, gpu.capability, gpu.multiprocessors)
    assert events_of_a_moment(trace(asked.config, setup, gpu).events) == events_of_a_moment(whole.events)


def test_the_command_and_python_say_the_same(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    words = ["--target-modules", "q_proj,v_proj", "--layers-to-transform", "0,1", "--rank-pattern", "^q_proj=16"]
    words += ["--rank-pattern", "v_proj=2", "--exclude-modules", "layers.0.self_attn.v_proj", "--bias", "lora_only"]
    words += ["--trainable-token-indices", "3,4", "--alpha-pattern", "q_proj=4"]
    line = ["simulate", "finetune", str(tmp_path), "--method", "lora", "--seq-len", "16", "--steps", "1", *words]
    assert run(line) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "^q_proj=16, v_proj=2" in page
    assert "PEFT: The following rank_pattern keys did not match any targeted module and were ignored:" in page
    assert run([*line, "--json"]) == 0
    report = inspector.load(str(tmp_path)).finetune(
        target_modules=["q_proj", "v_proj"], layers_to_transform=[0, 1], rank_pattern={"^q_proj": 16, "v_proj": 2},
        exclude_modules=["layers.0.self_attn.v_proj"], bias="lora_only", trainable_token_indices=[3, 4],
        alpha_pattern={"q_proj": 4}, method="lora", seq_len=16, steps=1,
    )  # fmt: skip
    assert report.to_dict().items() <= json.loads(capsys.readouterr().out).items()


def test_what_leaves_no_target_is_one_line(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    line = ["simulate", "finetune", str(tmp_path), "--method", "lora", "--target-modules", "q_proj,v_proj"]
    for words, said in (
        (["--layers-to-transform", "9"], "Target modules 'q_proj', 'v_proj' not found in the base model"),
        (["--exclude-modules", ".*"], "All modules were excluded"),
        (["--trainable-token-indices", "127,128"], "model.embed_tokens has no token 128: it has 128 rows"),
        (["--trainable-token-indices", "nope=1"], "no layer 'nope' to train tokens of"),
    ):
        assert run([*line, *words]) == 2
        assert said in capsys.readouterr().err


def test_another_methods_config_has_a_page(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    config = {"peft_type": "IA3", "target_modules": ["q_proj", "v_proj"], "feedforward_modules": []}
    line = ["simulate", "finetune", str(tmp_path), "--method", "lora", "--peft-config", json.dumps(config)]
    assert run([*line, "--seq-len", "16", "--steps", "1"]) == 0
    assert "peft_type=IA3, target_modules=q_proj,v_proj" in " ".join(capsys.readouterr().out.split())


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # PEFT asks for it
def test_fields_of_lora_without_an_option_are_those_of_a_config():
    targets = {"target_modules": ["q_proj"], "r": 4}
    config = LLAMA | {"hidden_size": 128}  # of which a bias fills a block of the allocator
    for more in ({"lora_bias": True}, {"use_bdlora": {"target_modules_bd_a": ["q_proj"], "nblocks": 2}}):
        real = get_peft_model(build_model(config), LoraConfig(**targets, **more))
        report = finetune(config, peft_config={"peft_type": "LORA", **targets, **more}, method="lora", seq_len=8)
        held = {share.name: share.nbytes for share in report.alive_at_peak}["adapters"]
        assert held == 4 * real.get_nb_trainable_parameters()[0]
