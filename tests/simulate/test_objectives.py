"""Steps of objectives and evaluations: equal to what trainers of TRL and transformers took, and what they hold."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from inspector.errors import CannotSimulateError
from inspector.simulate.finetuning import finetune

ROOT = Path(__file__).parents[2]
MODEL = "EleutherAI/pythia-14m"


@pytest.fixture(scope="module")
def benchmark():
    """`make scripts-trainers`, with the results that it found last."""
    spec = importlib.util.spec_from_file_location("benchmark_of_objectives", ROOT / "benchmarks" / "trainers.py")
    made = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    paths = list(sys.path)
    spec.loader.exec_module(made)
    sys.path[:] = paths
    yield made
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def results(benchmark):
    return {row["name"]: row for row in map(json.loads, benchmark.RESULTS.read_text().splitlines())}


@pytest.mark.parametrize("name", ["adapter", "orpo", "kto", "several"])
def test_a_step_is_that_of_trl_s_trainer(name, benchmark, results):
    """A sample: the benchmark runs every objective beside TRL's own trainer, and its results are kept."""
    row = results[f"options-{name}"]
    ours = benchmark.objective_peaks(name)
    assert row["verdict"] == "equal"
    assert abs(row["card"][1] - ours[1]) <= benchmark.OBJECTIVE_OFF


def test_every_objective_and_evaluation_was_compared(benchmark, results):
    names = [f"options-{each}" for each in benchmark.AS_OBJECTIVES]
    names += [f"evaluates-{each}" for each in benchmark.AS_EVALUATIONS]
    assert {results[name]["verdict"] for name in names} == {"equal"}


def kinds(report):
    return {share.name: share.nbytes for share in report.alive_at_peak}


def test_a_reference_model_is_a_second_model():
    asked = {"objective": "dpo", "method": "full", "dtype": "bfloat16", "seq_len": 32, "steps": 1, "gpu": "A10"}
    copy = finetune(MODEL, **asked)
    without = finetune(MODEL, **asked, ref_model="precomputed")
    weights = kinds(without)["base weights"]
    # Buffers beside: the frequencies of rotary positions, and as many bytes of precomputed log-probabilities.
    assert 0 <= kinds(copy)["reference model"] - weights < 4096
    assert abs(copy.peaks.allocated - without.peaks.allocated - kinds(copy)["reference model"]) <= 2048
    assert "reference: copy" in copy.inputs


def test_own_answers_are_generated_beside_all_that_training_holds():
    asked = {"objective": "grpo", "method": "full", "dtype": "bfloat16", "batch_size": 2, "num_generations": 8,
             "steps_per_generation": 4, "grad_accum": 4, "seq_len": 96, "prompt_len": 32, "gpu": "A10"}  # fmt: skip
    own = finetune(MODEL, **asked)
    away = finetune(MODEL, **asked, rollouts="server")
    first, later = (own.stage_peak("generation", step).peak_allocated for step in (0, 1))
    # From the second step on there are two moments of each of 14,067,712 weights, and the workspace of the backward.
    held = 4 * 14_067_712 + 8_519_680
    assert held <= later - first < held + 2**20
    # Eight answers of 96 tokens: keys and values of 6 layers of 128.
    cache = 8 * 95 * 6 * 2 * 128 * 2
    assert own.stage_peak("generation").peak_allocated - away.stage_peak("generation").peak_allocated > cache
    assert own.stage_peak("backward").peak_allocated == away.stage_peak("backward").peak_allocated


def test_an_evaluation_is_a_stage_and_may_be_the_peak():
    asked = {"method": "lora", "dtype": "bfloat16", "seq_len": 32, "steps": 1, "gpu": "A10", "eval_batch": 4}
    many = finetune(MODEL, **asked, eval_batches=12, eval_gather="logits")
    few = finetune(MODEL, **asked, eval_batches=12, eval_gather="logits", eval_accum=1)
    assert many.peak_stage == "evaluation"
    logits = 4 * 32 * 50304 * 2
    # The last batch is put behind all others: both are there, and its own logits.
    gathered = many.stage_peak("evaluation").peak_allocated - many.stage_peak("optimizer").end_allocated
    assert 24 * logits <= gathered < 25 * logits
    assert few.stage_peak("evaluation").peak_allocated < many.stage_peak("evaluation").peak_allocated / 3
    assert kinds(many)["logits and loss"] > 23 * logits


def test_an_objective_of_language_models_refuses_others():
    with pytest.raises(CannotSimulateError, match="dpo trains language models"):
        finetune("google-bert/bert-base-uncased", objective="dpo", method="full", seq_len=16)
