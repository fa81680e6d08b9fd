"""Published runs in other estimators' words. Needs neither the estimators nor a network."""

from __future__ import annotations

import importlib.util
import json
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from inspector.gpus import find_gpu
from inspector.validation.runs import questions

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def load():
    """A benchmark's module by name; its neighbours are importable as when it is run."""
    sys.path.insert(0, str(BENCHMARKS))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def options(load):
    return load("rival_options")


def question(file, name):
    return next(item for item in questions(file) if item.id == name)


def test_a_t4_run_for_fitcheck(options):
    assert options.fitcheck_options(question("t4_transformers_peft_loop", "10")) == {
        "precision": "fp16", "quantization": "nf4", "double_quant": False, "optimizer": "adamw",
        "optimizer_dtype": "fp32", "batch_size": 4, "seq_len": 1024, "lora_rank": 32,
        "lora_targets": ["k_proj", "o_proj", "q_proj", "v_proj"], "grad_checkpoint": True,
        "flash_attn": True, "card": {"gpu": "t4"},
    }  # fmt: skip


def test_eager_attention_is_not_flash(options):
    assert not options.fitcheck_options(question("t4_transformers_peft_loop", "16"))["flash_attn"]


def test_full_fine_tuning_has_no_rank_and_moments_of_its_own_dtype(options):
    fitcheck = options.fitcheck_options(question("a100_sfttrainer", "230"))
    assert (fitcheck["lora_rank"], fitcheck["optimizer_dtype"]) == (None, "bf16")
    canifinetune = options.canifinetune_options(question("a100_sfttrainer", "230"))
    assert canifinetune["method"] == "full"
    assert "lora_rank" not in canifinetune


def test_an_rtx_4080_run_for_canifinetune(options):
    asked = options.canifinetune_options(question("rtx4080_qlora", "95"))
    assert asked["gpu_vram_gb"] == find_gpu("RTX 4080").usable_bytes / 2**30
    assert asked["quantization"] == "nf4_double_quant"
    assert asked["lora_target_scope"] == "attention"
    assert asked["optimizer"] == "paged_adamw_8bit"


def test_a_target_that_matches_nothing_is_not_held_against_them(options):
    asked = question("a100_sfttrainer", "182")
    assert "c_attn" in asked.settings["target_modules"]
    assert options.fitcheck_options(asked)["lora_targets"] == ["k_proj", "o_proj", "q_proj", "v_proj"]
    assert options.canifinetune_options(asked)["lora_target_scope"] == "attention"


def test_generation_is_fitcheck_s_alone(options):
    asked = question("inference_peaks", "Qwen2.5-7B-Instruct BF16 6144")
    served = options.fitcheck_options(asked)
    assert (served["serving"], served["seq_len"], served["precision"]) == (True, 8192, "bf16")
    assert options.canifinetune_options(asked) == "estimates training only"


def test_every_run_is_options_or_a_reason(options):
    for asked in questions():
        for tool in options.TOOLS.values():
            answer = tool(asked)
            assert answer
            assert isinstance(answer, (dict, str))


def test_how_many_runs_each_can_express(options):
    expressed = {
        name: sum(isinstance(tool(item), dict) for item in questions()) for name, tool in options.TOOLS.items()
    }
    # 24 on the T4, 8 on the RTX 4080, 13 on the A100, LoRA on the L40S; fitcheck also 16 of generation. Mixtral is
    # among the 13: fitcheck refuses it when it reads the config.
    assert expressed == {"fitcheck-llm": 24 + 8 + 13 + 3 + 16, "canifinetune": 24 + 8 + 13 + 3}


def test_what_they_cannot_be_told(options):
    assert options.untold(question("a100_sfttrainer", "250")) == (
        "dropout",
        "autocast",
        "no prepare_model_for_kbit_training",
    )
    assert options.untold(question("t4_transformers_peft_loop", "10")) == ()


def test_the_summary_says_errors_and_ours_on_the_same_runs(load, options):
    rivals = load("rivals")
    rows = rivals.summary(
        [
            rivals.Comparison("inspector", "rtx4080_qlora", "allocated", "95", 101, 100),
            rivals.Comparison("inspector", "rtx4080_qlora", "allocated", "97", 100, 100),
            rivals.Comparison("canifinetune", "rtx4080_qlora", "allocated", "95", 150, 100),
        ]
    )
    assert rows[2:] == [
        "| rtx4080_qlora | allocated | inspector | 2 | 0.50% | +1.0% | +0.5% |  |",
        "| rtx4080_qlora | allocated | canifinetune | 1 | 50.00% | +50.0% | +50.0% | 1.00% of 1 |",
    ]


def test_what_was_measured_of_a_run(load, options):
    rivals = load("rivals")
    found = rivals.measured(question("t4_transformers_peft_loop", "0"))
    assert found == {"allocated": round(6838.541015625 * 2**20), "reserved": 7548 * 2**20, "process": 8062369792}


def test_the_hub_serves_each_model_its_own_config_and_count(load):
    hub = load("hub")
    counted = {"Qwen/Qwen2.5-0.5B": (494_032_768, 24), "TinyLlama/TinyLlama-1.1B-Chat-v1.0": (1_100_048_384, 22)}
    with hub.serve(*counted) as address, closing(HTTPConnection(address.removeprefix("http://"))) as connection:

        def get(path):
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.status, reply.read()

        for model, (parameters, layers) in counted.items():
            assert json.loads(get(f"/api/models/{model}")[1])["safetensors"]["total"] == parameters
            assert json.loads(get(f"/{model}/resolve/main/config.json")[1])["num_hidden_layers"] == layers
        assert get("/not/there/resolve/main/config.json")[0] == 404
