"""A ``quantization_config`` in words that nobody knows: the field, its value, what is known and what is meant."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from inspector.cli.main import run
from inspector.model import load
from inspector.precision.published import published_in
from inspector.simulate import finetune
from inspector.sources.resolve import locate
from tests.simulate.conftest import TINY

UNKNOWN = {
    "gtpq": ({"quant_method": "gtpq", "bits": 4, "group_size": 128}, "did you mean gptq?"),
    "GPTQ": ({"quant_method": "GPTQ", "bits": 4, "group_size": 128}, "did you mean gptq?"),
    "compressed_tensors": ({"quant_method": "compressed_tensors"}, "did you mean compressed-tensors?"),
    "exl2": ({"quant_method": "exl2", "bits": 4.65}, "known: aqlm, auto-round, awq, "),
}


@pytest.fixture
def folder(tmp_path):
    def made(raw):
        (tmp_path / "config.json").write_text(json.dumps({**TINY, "quantization_config": raw}))
        return str(tmp_path)

    return made


@pytest.mark.parametrize("kind", list(UNKNOWN))
def test_a_dry_run_names_field_value_and_what_is_known(kind, folder, capsys):
    raw, meant = UNKNOWN[kind]
    model = folder(raw)
    lines = (["simulate", "generate"], ["simulate", "finetune"], ["fit"], ["report", "--dry-run"])
    for line in lines:
        assert run([*line, model]) == 2, line
        error = " ".join(capsys.readouterr().err.split())
        assert f"quantization_config.quant_method is '{kind}', which transformers does not know" in error, line
        assert meant in error


BUILDS_NOTHING = (
    ["memory"],
    ["layers"],
    ["lora"],
    ["compare"],
    ["chart", "sizes"],
    ["fit"],
    ["report"],
    ["diff", "llama-3.1-8b"],
)


def test_weights_of_another_librarys_format_are_told_as_those_of_the_architecture(folder, capsys):
    model = folder(UNKNOWN["exl2"][0])
    for line in BUILDS_NOTHING[:3]:
        assert run([*line, model]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "published in exl2, which transformers does not load; these are the figures of the architecture" in said


def test_words_of_other_libraries_and_of_older_ones_are_no_mistakes():
    """As published: MiniMax M2's ``fmt``, a format of another tool, blocks in a text, methods of engines."""
    from inspector.architecture.quantizers import misspelt_method

    minimax = {"quant_method": "fp8", "fmt": "float8_e4m3fn", "activation_scheme": "dynamic"}
    assert published_in({"quantization_config": minimax}).blocks == (128, 128)
    weights = {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": "128x64"}
    other = {
        "quant_method": "compressed-tensors", "format": "nvfp4_e2m1_ue8m0",
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}},
    }  # fmt: skip
    assert published_in({"quantization_config": other}).title == "compressed-tensors (nvfp4_e2m1_ue8m0)"
    for word in ("modelopt", "fp4", "nf4", "mxfp6", "nvfp8", "exl3", "bitsandbytes_4bit", "w8a8_fp8", "gptq_marlin"):
        assert misspelt_method(word) == "", word
    for word, meant in (
        ("gtpq", "gptq"),
        ("AWQ", "awq"),
        ("auto_round", "auto-round"),
        ("bitsandbyte", "bitsandbytes"),
    ):
        assert misspelt_method(word) == f"did you mean {meant}?"


@pytest.mark.parametrize(
    ("packing", "method"),
    [
        ("auto_round:auto_gptq", "gptq"), ("auto_round:auto_awq", "awq"), ("auto_round:awq", "awq"),
        (None, "gptq"), ("auto_round:nv_fp", "auto-round"),
    ],
)  # fmt: skip
def test_auto_round_packs_as_its_config_says(packing, method):
    """The packing that AutoRoundConfig has where none is said; auto-round takes AWQ for 4 bits with zeros."""
    raw = {"quant_method": "auto-round", "bits": 4, "group_size": 128, "sym": False, "packing_format": packing}
    assert published_in({"quantization_config": raw}).method == method


def test_a_wrong_word_is_told_by_commands_that_build_nothing(folder, capsys, tmp_path):
    """One checker for all of them, before anything is built; what files store is told all the same."""
    model = folder({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf5"})
    for line in BUILDS_NOTHING:
        assert run([*line, model]) == 2, line
        out, error = capsys.readouterr()
        said = "bnb_4bit_quant_type is 'nf5', which bitsandbytes does not know did you mean nf4? known: nf4, fp4"
        assert (out, " ".join(error.split())) == ("", f"inspector: quantization_config.{said}"), line
    save_file({"model.norm.weight": torch.zeros(TINY["hidden_size"])}, tmp_path / "model.safetensors")
    for line in (["checkpoint"], ["memory", "--scheme", "stored"]):
        assert run([*line, model]) == 0
        assert "bnb_4bit_quant_type is 'nf5'" in " ".join(capsys.readouterr().out.split())


def test_a_misspelt_field_is_told(folder, capsys):
    assert run(["memory", folder({"quant_method": "gptq", "bits": 4, "groupsize": 32})]) == 0
    said = "quantization_config.groupsize is no field of gptq, and is passed over: group_size perhaps"
    assert said in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("method", ["fp8", "compressed-tensors"])
def test_what_is_dequantized_on_loading_is_told_with_what_is_on_disk(method, folder, capsys):
    """In memory the weights are plain; the stored bytes are those of the disk."""
    raw = {"quant_method": method, "dequantize": True}
    if method == "compressed-tensors":
        group = {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}
        raw |= {"format": "float-quantized", "config_groups": {"group_0": group}}
    model = folder(raw)
    report = load(model).memory()
    stored, plain = report.schemes[0], next(line for line in report.schemes if line.scheme == "bf16")
    assert (stored.scheme, report.focus) == ("published", plain)
    assert stored.tensor_bytes < plain.tensor_bytes
    for line in (["memory"], ["layers"], ["lora"], ["compare"]):
        assert run([*line, model]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "dequantiz" in said, line
        assert "stored in" in said or "in memory its weights are plain bfloat16, on disk they are" in said, line
    without = folder({name: value for name, value in raw.items() if name != "dequantize"})
    assert load(without).memory().focus.scheme == "published"


def test_without_a_method_it_is_not_taken_for_plain_weights(folder, capsys):
    model = folder({"w_bit": 4, "q_group_size": 128, "zero_point": True})
    assert run(["simulate", "generate", model]) == 2
    assert "quantization_config names no quant_method" in capsys.readouterr().err
    assert "names no quant_method" in locate(model).skeleton.notes[-1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_config_without_a_dtype_is_loaded_in_that_of_its_files(tmp_path, dtype):
    """As ``dtype="auto"`` finds it: the first float that a model can be in."""
    raw = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    config = {name: value for name, value in TINY.items() if "dtype" not in name}
    (tmp_path / "config.json").write_text(json.dumps({**config, "quantization_config": raw}))
    tensors = {
        "a.weight": torch.zeros(4, 4, dtype=torch.float8_e4m3fn), "model.norm.weight": torch.zeros(4, dtype=dtype),
    }  # fmt: skip
    save_file(tensors, tmp_path / "model.safetensors")
    assert locate(str(tmp_path)).runnable["dtype"] == str(dtype).removeprefix("torch.")


def test_fp8_is_not_prepared_for_training_in_bits(tmp_path):
    """PEFT's ``prepare_model_for_kbit_training`` knows no FP8; a card without its units trains on plain weights."""
    raw = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    report = finetune({**TINY, "quantization_config": raw}, gpu="A100-80GB", seq_len=16)
    plain = finetune(dict(TINY), gpu="A100-80GB", seq_len=16, method="lora", via_cpu=False)
    alive, base = ({share.name: share.nbytes for share in one.alive_at_peak} for one in (report, plain))
    assert alive["base weights"] == base["base weights"]


def test_the_language_models_own_quantization_counts():
    inner = {"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
    found = published_in({"model_type": "kimi", "text_config": inner})
    assert found is not None
    assert found.title == "fp8 (8 bits, blocks of 128 x 128)"


def test_where_peft_names_no_targets_packed_layers_are_named():
    """Phi-3 has no default in PEFT, and all-linear would find no layer of GPTQ."""
    config = {
        **TINY, "model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "pad_token_id": 0,
        "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128},
    }  # fmt: skip
    report = finetune(config, gpu="RTX 4090", seq_len=16)
    assert any("down_proj, gate_up_proj, o_proj, qkv_proj are taken" in line for line in report.assumptions)


@pytest.mark.parametrize(
    "stored",
    [
        {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int8WeightOnlyConfig"}}},
        {"quant_method": "fp8", "weight_block_size": [128, 128]},
    ],
    ids=["torchao", "fp8"],
)
def test_where_peft_names_no_targets_linear_layers_of_a_format_are_taken(stored):
    """Their forward is their own as a router's is, but what they return is a product."""
    plain = {**TINY, "model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "pad_token_id": 0}
    found = [
        {share.name: share.nbytes for share in finetune(one, gpu="L4", seq_len=16, method="lora").alive_at_peak}
        for one in ({**plain, "quantization_config": stored}, plain)
    ]
    assert found[0]["adapters"] == found[1]["adapters"] > 0


MIXTURE = {**TINY, "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "num_local_experts": 4}
STATIC = {"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "static"}
NOT_LOADED = {
    "mxfp4": ({"quant_method": "mxfp4"}, "transformers loads MXFP4 for gpt-oss alone, not for this MixtralForCausalLM"),
    "static": (STATIC, "FP8 experts whose activation_scheme is 'static' do not run by transformers' usual products"),
}


@pytest.mark.parametrize("kind", NOT_LOADED)
def test_what_transformers_does_not_run_is_refused_alike_everywhere(kind, tmp_path, capsys):
    raw, said = NOT_LOADED[kind]
    (tmp_path / "config.json").write_text(json.dumps({**MIXTURE, "quantization_config": raw}))
    lines = (["simulate", "generate"], ["simulate", "finetune"], ["fit"])
    for line in lines:
        assert run([*line, str(tmp_path), "--gpu", "H100-SXM"]) == 2, line
        assert said in " ".join(capsys.readouterr().err.split()), line
    assert run(["memory", str(tmp_path)]) == 0
