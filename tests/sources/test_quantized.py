"""Checkpoints that are already quantized: recognized, their constants told from their weights, nothing amiss."""

import json

import pytest
import torch
from safetensors.torch import save_file

from inspector.architecture import build_model
from inspector.checkpoint.against_skeleton import compare_with_skeleton
from inspector.checkpoint.stored_names import weight_of
from inspector.cli.main import run
from inspector.lenses.weights import stored_tensors
from inspector.precision import scheme_named
from inspector.sources.resolve import locate
from tests.sources.conftest import LLAMA


def gptq(weight):
    rows, columns = weight.shape
    groups = columns // 32
    return {
        "qweight": torch.zeros(columns // 8, rows, dtype=torch.int32),
        "qzeros": torch.zeros(groups, rows // 8, dtype=torch.int32),
        "scales": torch.zeros(groups, rows, dtype=torch.float16),
        "g_idx": torch.zeros(columns, dtype=torch.int32),
    }


def awq(weight):
    rows, columns = weight.shape
    return {
        "qweight": torch.zeros(columns, rows // 8, dtype=torch.int32),
        "qzeros": torch.zeros(columns // 32, rows // 8, dtype=torch.int32),
        "scales": torch.zeros(columns // 32, rows, dtype=torch.float16),
    }


def packed(weight):
    rows, columns = weight.shape
    return {
        "weight_packed": torch.zeros(rows, columns // 8, dtype=torch.int32),
        "weight_scale": torch.zeros(rows, columns // 32, dtype=torch.bfloat16),
        "weight_shape": torch.zeros(2, dtype=torch.int64),
    }


def fp8(weight):
    blocks = [-(-size // 128) for size in weight.shape]
    return {"weight": torch.zeros(weight.shape, dtype=torch.float8_e4m3fn), "weight_scale_inv": torch.zeros(blocks)}


FORMATS = {"gptq": (gptq, "gptq:4:32"), "awq": (awq, "awq:4:32"), "compressed-tensors": (packed, "w4a16:4:32"),
           "fp8": (fp8, "fp8")}  # fmt: skip


@pytest.fixture(params=FORMATS)
def quantized(request, tmp_path):
    """A folder as the tool writes it: the linear layers of the blocks in its format, the rest as it was."""
    make, scheme = FORMATS[request.param]
    rest = torch.bfloat16 if request.param in {"fp8", "compressed-tensors"} else torch.float16
    tensors = {}
    for name, parameter in build_model(LLAMA).named_parameters():
        owner = name.removesuffix(".weight")
        if owner.endswith("_proj"):
            tensors |= {f"{owner}.{part}": tensor for part, tensor in make(parameter).items()}
        else:
            tensors[name] = torch.zeros(parameter.shape, dtype=rest)
    save_file(tensors, tmp_path / "model.safetensors")
    config = {**LLAMA, "quantization_config": {"quant_method": request.param, "bits": 4, "group_size": 32}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path, request.param, scheme


def test_a_quantized_checkpoint_is_recognized_and_whole(quantized):
    folder, method, _ = quantized
    source = locate(str(folder))
    report = compare_with_skeleton(source.checkpoint, source.skeleton)
    assert report.quantization == method
    assert (report.missing, report.unexpected, report.misshapen) == ((), (), ())
    assert 0 < report.constant_bytes < report.tensor_bytes
    assert report.parameters == sum(parameter.numel() for parameter in build_model(LLAMA).parameters())


def test_the_prediction_is_what_the_files_store(quantized):
    """The scheme's bytes of every parameter equal those in the files: buffers are not stored."""
    folder, _, scheme = quantized
    source = locate(str(folder))
    rows = stored_tensors(source.skeleton, scheme_named(scheme))
    assert sum(row.tensor_bytes for row in rows if row.tensor.is_parameter) == source.checkpoint.tensor_bytes


def test_the_page_says_what_it_is(quantized, capsys):
    folder, method, _ = quantized
    assert run(["checkpoint", str(folder)]) == 0
    out = capsys.readouterr().out
    assert f"published in {method}" in out
    assert "bits a parameter" in out


@pytest.mark.parametrize(
    ("stored", "weight"),
    [
        ("a.q_proj.qweight", "a.q_proj.weight"), ("a.q_proj.weight.absmax", "a.q_proj.weight"),
        ("a.q_proj.weight.quant_state.bitsandbytes__nf4", "a.q_proj.weight"), ("a.q_proj.SCB", "a.q_proj.weight"),
        ("a.mlp.experts.gate_up_proj_blocks", "a.mlp.experts.gate_up_proj"),
        ("a.mlp.experts.gate_up_proj_scales", "a.mlp.experts.gate_up_proj"),
        ("a.mlp.experts.gate_up_proj_bias", "a.mlp.experts.gate_up_proj_bias"),
        ("a.q_proj.weight_scale_inv", "a.q_proj.weight"), ("a.q_proj.weight", "a.q_proj.weight"),
        ("a.q_proj.bias", "a.q_proj.bias"),
    ],
)  # fmt: skip
def test_every_constant_knows_its_weight(stored, weight):
    assert weight_of(stored) == weight


def test_memory_can_show_what_the_files_hold(quantized, capsys):
    folder, _, scheme = quantized
    assert run(["memory", str(folder), "--scheme", "stored", "--scheme", scheme, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["focus"] == "stored"
    assert found["schemes"][0]["tensor_bytes"] == locate(str(folder)).checkpoint.tensor_bytes


def test_stored_needs_files(capsys):
    assert run(["memory", "gpt2", "--scheme", "stored"]) == 2
    assert "no files" in capsys.readouterr().err
