"""What is taken at the least on accelerators whose kernels are not simulated, and what is refused there."""

import json

import pytest

import inspector
from inspector.cli.main import run
from inspector.errors import InspectorError


def test_ways_of_training_by_devices():
    """Llama 3.1 8B: sixteen bytes of sixteen bits, PEFT's q_proj and v_proj at rank 8 in float32."""
    report = inspector.load("llama-3.1-8b").fit(gpu=["MI300X", "TPU v5e", "Arc A380"])
    full, lora, qlora = report.ways
    parameters = inspector.load("llama-3.1-8b").num_parameters
    assert full.nbytes == pytest.approx(4 * 2 * parameters, rel=1e-6)
    assert [part.nbytes for part in lora.parts[1:]] == [4 * 3_407_872, 4 * 3_407_872, 8 * 3_407_872]
    mi300x, tpu, arc = report.accelerators
    assert {report.ruled(way, mi300x) for way in report.ways} == {"not ruled out"}
    assert report.ruled(full, tpu) == "does not fit"
    assert report.ruled(qlora, tpu) == "does not run"
    assert report.ruled(qlora, arc) == "not ruled out"
    assert report.fits
    assert any("not checked against a measurement" in line for line in report.assumptions)
    assert report.to_dict()["checked_against_a_measurement"] is False


def test_a_mac_swaps_before_pytorch_refuses():
    """Llama 3.1 8B in sixteen bits is 14.96 GiB: over the 10.67 that Metal recommends, under 1.7 times as much."""
    report = inspector.load("llama-3.1-8b").fit(gpu=["M1 16GB", "M1 8GB"])
    lora = report.ways[1]
    assert [report.ruled(lora, mac) for mac in report.accelerators] == ["over the recommended", "does not fit"]
    assert report.ruled(report.ways[2], report.accelerators[0]) == "not ruled out"


def test_nothing_fits_is_exit_code_1_and_needs_no_torch(capsys):
    assert run(["fit", "llama-3.1-70b", "--gpu", "M1 8GB", "--csv"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 4
    assert all(line.endswith("does not fit") for line in out[1:])


def test_generation_keeps_weights_and_cache(kept_answers):
    model = inspector.load("smollm2-135m")
    report = model.generate(gpu="RX 7900 XTX", prompt_len=64, max_new_tokens=4)
    on_cuda = model.generate(gpu="A100-80GB", prompt_len=64, max_new_tokens=4)
    (way,) = report.ways
    assert [part.nbytes for part in way.parts] == [on_cuda.weights_bytes, on_cuda.cache_bytes]
    assert report.ruled(way, report.accelerators[0]) == "not ruled out"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["simulate", "finetune", "--gpu", "Gaudi 2"], "only CUDA's kernels are simulated"),
        (["simulate", "generate", "--gpu", "MI300X", "--solve"], "no run on it is simulated"),
        (["simulate", "generate", "--gpu", "TPU v4", "--bits", "4"], "bitsandbytes does not run on TPU v4"),
        (["fit", "--gpu", "MI300X", "--seq-len", "64"], "no training step is simulated on it"),
        (["fit", "--gpu", "MI300X", "--gpu", "T4"], "is not compared with NVIDIA's"),
        (["fit", "--gpu", "MI300X", "--gpus", "2"], "no training step is simulated"),
        (["serving", "llama-3.2-1b", "--gpu", "M3 Max 64GB"], "no NVIDIA card"),
        (["memory", "--gpu", "M3 Max"], "could be several accelerators"),
    ],
)
def test_what_is_not_had_is_a_line(line, said, capsys):
    assert run(line) == 2
    err = capsys.readouterr().err
    assert said in err
    assert len(err.splitlines()) <= 2


def test_memory_says_what_a_card_of_any_maker_has_left(capsys):
    assert run(["memory", "llama-3.1-8b", "--bits", "4", "--gpu", "mi210", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    schemes = {each["scheme"]: each["tensor_bytes"] for each in said["schemes"]}
    card = said["card"]
    assert card["left_bytes"] == {name: card["usable_bytes"] - size for name, size in schemes.items()}
    assert (card["maker"], card["checked_against_a_measurement"]) == ("AMD", False)
    on_t4 = inspector.load("llama-3.1-8b").memory(bits=4, gpu="T4")
    assert on_t4.left_bytes(on_t4.focus) == on_t4.card.available_bytes - on_t4.focus.allocated_bytes
    with pytest.raises(InspectorError):
        inspector.load("llama-3.1-8b").memory(gpu="Z9")


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_a_training_on_amd_s_is_computed_as_cuda_s_and_says_so(method):
    """HIP's allocator is the same code; its kernels are not, and nobody measured it."""
    from inspector.simulate.finetuning import question
    from inspector.simulate.reports.assumed import assumptions

    asked = question("EleutherAI/pythia-14m", method=method, gpu="AMD Instinct MI300X")
    said = assumptions(asked.resolved.setup, asked.gpu)
    assert (asked.gpu.name, asked.gpu.usable_bytes, asked.gpu.capability) == ("MI300X", 196592 * 2**20, (8, 0))
    assert any("not checked against a measurement" in line for line in said)
    assert any("HIP's allocator is the same code" in line for line in said)
