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


@pytest.mark.parametrize("name", ["adapter", "mixed", "kto", "several", "scored", "gkd", "distill", "prm", "ppo"])
def test_a_step_is_that_of_trl_s_trainer(name, benchmark, results):
    """A sample: the benchmark runs every objective beside TRL's own trainer, and its results are kept."""
    row = results[f"options-{name}"]
    ours = benchmark.objective_peaks(name)
    assert row["verdict"] == "equal"
    assert abs(row["card"][1] - ours[1]) <= (benchmark.PPO_OFF if name == "ppo" else benchmark.OBJECTIVE_OFF)


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
    assert own.stage_peak("generation").peak_allocated - own.stage_peak("generation").end_allocated > cache
    # What vLLM says of its answers is corrected for: log-probabilities before the step, theirs, and a ratio.
    beside = away.stage_peak("backward").peak_allocated - own.stage_peak("backward").peak_allocated
    assert 0 < beside <= 3 * 8 * 64 * 4 + 4 * 512


ANSWERS = {"objective": "grpo", "method": "full", "dtype": "bfloat16", "batch_size": 2, "num_generations": 2,
           "seq_len": 48, "prompt_len": 16, "gpu": "A10"}  # fmt: skip


@pytest.fixture(scope="module")
def colocated():
    """A vLLM in the same process that holds 1 GiB of weights and 2 of cache, awake throughout and asleep in steps."""
    held = {"weights": 2**30, "cache": "2GiB", "graphs": 2**26, "activations": 2**27}
    asked = {**ANSWERS, "rollouts": "colocated", "vllm_memory": held}
    return finetune(MODEL, **asked), finetune(MODEL, **asked, vllm_enable_sleep_mode=True)


def test_a_colocated_engine_stands_beside_the_training(colocated):
    awake, asleep = colocated
    engine = 3 * 2**30 + 2**26
    assert kinds(awake)["inference engine"] == engine
    assert awake.peak_stage == asleep.peak_stage == "generation"
    assert awake.peaks.allocated == asleep.peaks.allocated
    step = [report.stage_peak("backward").peak_allocated for report in colocated]
    assert step[0] - step[1] == 3 * 2**30
    # It starts awake, before it sleeps for the first time.
    assert asleep.stage_peak("load").peak_allocated > engine
    assert "asleep while the model trains" in " ".join(asleep.assumptions)


def test_an_engine_that_nobody_knows_is_a_line():
    with pytest.raises(CannotSimulateError, match="what a colocated vLLM holds is not said"):
        finetune(MODEL, **ANSWERS, rollouts="colocated")


def test_a_teacher_of_another_vocabulary_is_a_line():
    with pytest.raises(CannotSimulateError, match="a vocabulary of 50,304 is compared with the 49,152"):
        finetune(MODEL, objective="gkd", teacher="smollm2-135m", method="full", seq_len=16, gpu="A10")


def test_packed_layers_are_merged_through_the_host():
    held = {"weights": 2**20}
    asked = {**ANSWERS, "method": "qlora", "rollouts": "colocated", "vllm_memory": held, "steps": 1}
    packed = finetune(MODEL, **asked)
    assert packed.stage_peak("generation").end_allocated < packed.stage_peak("generation").peak_allocated


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


T5 = {
    "architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "vocab_size": 512, "d_model": 64, "d_ff": 128,
    "d_kv": 16, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0, "dtype": "float32",
}  # fmt: skip


def test_an_evaluation_may_generate_what_it_gathers():
    asked = {"method": "full", "seq_len": 64, "target_len": 4, "steps": 1, "gpu": "A10", "eval_batch": 8,
             "eval_gather": "generated"}  # fmt: skip
    short = finetune(T5, **asked).stage_peak("evaluation").peak_allocated
    long = finetune(T5, **asked, generation_max_length=220).stage_peak("evaluation").peak_allocated
    beams = finetune(T5, **asked, generation_max_length=220, generation_num_beams=4).stage_peak("evaluation")
    # Keys and values of two layers, for 200 tokens more.
    assert long - short > 8 * 200 * 2 * 2 * 64 * 4
    assert beams.peak_allocated - long > 3 * 8 * 219 * 2 * 2 * 64 * 4
    with pytest.raises(CannotSimulateError, match="no encoder-decoder"):
        finetune(MODEL, method="full", seq_len=16, steps=1, eval_batch=2, eval_gather="generated")


def test_an_objective_of_language_models_refuses_others():
    with pytest.raises(CannotSimulateError, match="dpo trains language models"):
        finetune("google-bert/bert-base-uncased", objective="dpo", method="full", seq_len=16)


@pytest.mark.parametrize(("paired", "wide"), [(True, False), (False, False), (True, True)])
def test_a_chunk_of_liger_s_loss_takes_what_inductor_writes_for_a_card(paired, wide):
    """The most of a call: sums of the buffers in the code that torch 2.13 generates of Liger 0.8 for an A100."""
    import torch

    from inspector.simulate.allocator.settings import AllocatorSettings
    from inspector.simulate.allocator.timeline import replay
    from inspector.simulate.device.cuda import as_on
    from inspector.simulate.device.kernels import cuda_kernels
    from inspector.simulate.device.questions import Device
    from inspector.simulate.program import liger
    from inspector.simulate.tracing.tracer import Tracer

    tokens, hidden, words, rows = 512, 256, 32768, 4
    dtype, device = (torch.float32 if wide else torch.bfloat16), Device((8, 0), 108)
    tracer = Tracer(cuda_kernels(device))
    with as_on(device, tracer.page), tracer:
        states, other = (torch.empty(rows, tokens, hidden, dtype=dtype, device="meta") for _ in range(2))
        weight = torch.nn.Parameter(torch.empty(words, hidden, dtype=dtype, device="meta"))
        labels = torch.empty(rows, tokens, dtype=torch.int64, device="meta")
        states.requires_grad_()
        tracer.mark("forward", 0, reset=True)
        loss = liger.compared(states, weight, labels, other, weight.detach(), paired=paired, scaled=False)
        tracer.mark("backward", 0, reset=True)
        loss.backward()
    tracer.stop()
    assert states.grad is not None
    assert weight.grad is not None
    forward, backward = (stage for stage in replay(tracer.events(), AllocatorSettings()).stages if stage.step == 0)
    given = 2 * states.nbytes + weight.nbytes + labels.nbytes
    logits = (2 if paired else 1) * tokens * words * dtype.itemsize
    # Before the last chunk: the head's gradient, those of the states so far, and a pair's copies of both models'.
    held = weight.nbytes + states.nbytes * 3 // 4 + (states.nbytes * 3 // 4 if paired else 0)
    most = 2 * logits if wide else 3 * logits if paired else 4 * logits
    assert forward.peak_allocated - given - held - most == pytest.approx(8_519_680, abs=2**21)
    assert backward.peak_allocated < given + weight.nbytes + states.nbytes + 2 * 8_519_680


def test_what_is_cast_for_one_forward_is_not_for_the_next():
    """KTO's first forward is without gradients: casts kept from it would be recomputed in the next one's backward."""
    asked = {"objective": "kto", "method": "lora", "dtype": "float32", "autocast": "bf16", "seq_len": 32, "gpu": "A10",
             "gradient_checkpointing": True, "reentrant": False, "steps": 1}  # fmt: skip
    # Liger makes a gradient of the head, 50,304 x 128 in float32, which does not train.
    report = finetune(MODEL, **asked, loss="liger")
    assert report.stage_peak("forward").peak_allocated > 2 * 4 * 50_304 * 128 + report.stage_peak("load").end_allocated
