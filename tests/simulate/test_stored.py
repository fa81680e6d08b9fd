"""Dry runs of checkpoints that are quantized already: as they are stored, dequantized on loading, or refused."""

from __future__ import annotations

import copy
import json

import pytest

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.lenses.weights import weights
from inspector.precision.as_published import published_scheme
from inspector.precision.published import published_in
from inspector.simulate import finetune
from inspector.simulate.generation import simulate_generate
from inspector.sources.resolve import locate
from tests.simulate.conftest import TINY

GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": True, "sym": True}
NF4 = {
    "quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": "bfloat16", "llm_int8_skip_modules": ["lm_head"],
}  # fmt: skip


def torchao(kind, **data):
    return {"quant_method": "torchao", "quant_type": {"default": {"_type": kind, "_data": data}}}


WEIGHTS_4 = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 128}
STORED = {
    "gptq": GPTQ,
    "gptq3": {**GPTQ, "bits": 3, "desc_act": False},
    "awq": {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm", "zero_point": True},
    "nf4": NF4,
    "int8": {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_skip_modules": ["lm_head"]},
    "fp8": {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]},
    "w4a16": {
        "quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head"],
        "config_groups": {"group_0": {"targets": ["Linear"], "input_activations": None, "weights": WEIGHTS_4}},
    },
    "hqq": {
        "quant_method": "hqq", "skip_modules": ["lm_head"],
        "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64, "axis": 1}},
    },
    "int8wo": torchao("Int8WeightOnlyConfig"),
    "int4wo": {"quant_method": "torchao", "quant_type": "int4_weight_only", "quant_type_kwargs": {"group_size": 128}},
    "tiles": torchao("Int4WeightOnlyConfig", group_size=64, int4_packing_format={"_data": "TILE_PACKED_TO_4D"}),
    "float8wo": torchao("Float8WeightOnlyConfig"),
    "plain_int32": torchao("Int4WeightOnlyConfig", int4_packing_format="plain_int32"),
    "aqlm": {"quant_method": "aqlm", "in_group_size": 8, "num_codebooks": 1},
    "mlx": {"group_size": 64, "bits": 4},
}  # fmt: skip
MISTRAL = {
    "architectures": ["MistralForCausalLM"], "model_type": "mistral", "vocab_size": 32000, "hidden_size": 4096,
    "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "max_position_embeddings": 32768, "sliding_window": 4096, "torch_dtype": "float16", "tie_word_embeddings": False,
}  # fmt: skip


def config(kind, **more):
    return {**TINY, "quantization_config": STORED[kind], **more}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder for each way a small model is stored."""
    root = tmp_path_factory.mktemp("stored")
    for kind in STORED:
        (root / kind).mkdir()
        (root / kind / "config.json").write_text(json.dumps(config(kind)))
    (root / "mistral").mkdir()
    (root / "mistral" / "config.json").write_text(json.dumps({**MISTRAL, "quantization_config": GPTQ}))
    return root


def loaded(folder, gpu="RTX 4090"):
    return simulate_generate(str(folder), gpu=gpu, prompt_len=16, max_new_tokens=2)


def test_a_mistral_in_gptq_fits_a_card_of_12_gigabytes(folders, capsys):
    assert run(["simulate", "generate", str(folders / "mistral"), "--gpu", "RTX 3060", "--prompt-len", "512"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "gptq weights" in page
    assert "gptqmodel 7.7 with its Marlin kernel" in page
    # 32 layers of 4 bits, with scales and the order of columns; TheBloke's file has 4.16 GB.
    report = loaded(folders / "mistral", "RTX 3060")
    assert report.weights_bytes == pytest.approx(4.16e9, rel=0.01)
    assert report.fits


@pytest.mark.parametrize("kind", ["gptq3", "nf4", "int8", "fp8", "w4a16", "hqq", "int8wo", "int4wo", "tiles"])
def test_what_is_loaded_is_what_memory_says(folders, kind):
    """Kernels that lay weights out anew are left out: Marlin's and ExLlamaV2's."""
    source = locate(str(folders / kind))
    scheme = published_scheme(source.config, source.skeleton)
    predicted = weights(source.skeleton, scheme).allocated_bytes
    # Two hundred bytes: what a format keeps beside the weight, such as its shape, a layer in blocks of 512.
    assert loaded(folders / kind).weights_bytes == pytest.approx(predicted, abs=40 * 512)


@pytest.mark.parametrize("kind", ["gptq", "awq", "nf4", "int8", "fp8", "hqq", "int8wo", "float8wo"])
def test_lora_goes_onto_the_layers_as_they_are_stored(folders, kind, capsys):
    assert run(["simulate", "finetune", str(folders / kind), "--gpu", "RTX 4090", "--seq-len", "32", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    method = STORED[kind]["quant_method"]
    assert found["settings"]["scheme"] == {"value": method, "set_by": "model"}
    assert any(f"weights as stored, {method}" in line for line in found["assumptions"])
    plain = finetune(dict(TINY), gpu="RTX 4090", seq_len=32, method="lora")
    adapters = {share.name: share.nbytes for share in plain.alive_at_peak}["adapters"]
    assert found["alive_at_peak"]["adapters"] == adapters


def test_what_does_not_train_is_dequantized_on_loading_and_said(folders):
    report = finetune(str(folders / "w4a16"), gpu="RTX 4090", seq_len=32)
    plain = finetune(dict(TINY), gpu="RTX 4090", seq_len=32, method="lora", via_cpu=False)
    assert report.setup.load.quantization is None
    assert report.settings["method"] == {"value": "lora", "set_by": "model"}
    assert any("loaded with dequantize=True" in line for line in report.assumptions)
    assert report.steady_allocated_bytes == plain.steady_allocated_bytes
    # The parts and what is made of them are there beside the weights.
    assert report.stage_peak("load").peak_allocated > plain.stage_peak("load").peak_allocated


def mxfp4():
    published = dict(locate("openai/gpt-oss-20b").config)
    return {
        **published, "num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"],
        "hidden_size": 256, "intermediate_size": 256, "num_local_experts": 4, "vocab_size": 512,
        "pad_token_id": 0, "eos_token_id": 1, "dtype": "bfloat16",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["fp8", "mxfp4", "w4a16"])
def test_a_config_that_says_dequantize_is_loaded_plain_unasked(kind, tmp_path, capsys):
    stored = mxfp4() if kind == "mxfp4" else config(kind)
    word = {"run_compressed": False} if kind == "w4a16" else {"dequantize": True}
    stored["quantization_config"] = {**stored["quantization_config"], **word}
    (tmp_path / "config.json").write_text(json.dumps(stored))
    report = loaded(tmp_path, "H100-SXM")
    plain = {name: value for name, value in stored.items() if name != "quantization_config"}
    assert report.weights_bytes == simulate_generate_of(plain, tmp_path / "plain")
    assert any("quantization_config says dequantize" in line for line in report.assumptions)
    # A config passed in has the last word, and its own default is to load what is stored.
    method = stored["quantization_config"]["quant_method"]
    asked = simulate_generate(str(tmp_path), gpu="H100-SXM", prompt_len=16, max_new_tokens=2, scheme=method)
    assert asked.weights_bytes < report.weights_bytes
    # Plain weights train whole, too.
    words = ["finetune", str(tmp_path), "--gpu", "H100-SXM", "--seq-len", "16", "--method", "full", "--json"]
    assert run(["simulate", *words]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["scheme"]["value"] == "none"


def simulate_generate_of(stored, folder):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(stored))
    return loaded(folder, "H100-SXM").weights_bytes


def test_a_card_without_fp8_units_dequantizes(folders):
    old, new = loaded(folders / "fp8", "A100-80GB"), loaded(folders / "fp8", "L4")
    assert old.weights_bytes > 1.3 * new.weights_bytes
    assert any("capability 8.9" in line for line in old.assumptions)


def test_compressed_weights_are_whole_after_the_first_forward(folders):
    report = loaded(folders / "w4a16")
    alive = dict(report.alive_at_peak)
    whole = 2 * locate(str(folders / "w4a16")).skeleton.num_parameters
    assert alive["base weights"] > 0.95 * whole > report.weights_bytes


def test_a_scheme_of_the_cache_leaves_it_in_its_dtype(folders):
    """compressed-tensors rounds what goes into it; the bytes are those of a cache without a scheme."""
    more = config("w4a16")
    scheme = {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False, "symmetric": True}
    more["quantization_config"] = {**STORED["w4a16"], "kv_cache_scheme": scheme}
    (folders / "cache").mkdir()
    (folders / "cache" / "config.json").write_text(json.dumps(more))
    rounded, usual = loaded(folders / "cache"), loaded(folders / "w4a16")
    assert rounded.cache_bytes == usual.cache_bytes
    assert [line for line in rounded.assumptions if "kv_cache_scheme rounds keys and values to 8 bits" in line]
    assert not [line for line in usual.assumptions if "kv_cache_scheme" in line]


def test_a_skip_list_is_kept(folders):
    more = config("nf4")
    more["quantization_config"] = {**NF4, "llm_int8_skip_modules": ["lm_head", "down_proj"]}
    skipped = finetune(more, gpu="T4", seq_len=16).stage_peak("load").end_allocated
    usual = finetune(config("nf4"), gpu="T4", seq_len=16).stage_peak("load").end_allocated
    # Four layers of 256 x 512 in float32, as PEFT's preparation makes of what is not packed, not in half a byte.
    assert skipped - usual == pytest.approx(4 * 256 * 512 * 3.5, rel=0.02)


def test_training_kernels_dequantize_and_keep_no_weight_in_awq(folders):
    """GPTQ's trainable layers leave the dequantized weight to autograd, AWQ's make it anew."""

    def kept(kind):
        report = finetune(str(folders / kind), gpu="RTX 4090", seq_len=8, gradient_checkpointing=False)
        return {share.name: share.nbytes for share in report.alive_at_peak}.get("dequantized weights", 0)

    assert kept("gptq") > 4 * kept("awq")


@pytest.mark.parametrize(
    ("kind", "words", "said"),
    [
        ("gptq", ["--bits", "4"], "transformers refuses a BitsAndBytesConfig on top of it"),
        ("awq", ["--scheme", "nf4"], "transformers refuses a BitsAndBytesConfig on top of it"),
        ("gptq", ["--method", "full"], "trains adapters on it, not its weights"),
        ("gptq", ["--target-modules", "all-linear"], "takes nn.Linear alone"),
        ("gptq", ["--use-dora"], "does not support DoRA"),
        ("gptq", ["--scheme", "none", "--method", "lora"], "is not loaded in 16 bits"),
        ("hqq", ["--scheme", "gptq"], "transformers refuses gptq on top of it"),
        ("int4wo", [], "does not train on top of torchao"),
        ("tiles", [], "does not train on top of torchao (int4wo, tile_packed_to_4d, groups of 64)"),
        ("aqlm", [], "aqlm, which has no dry run"),
        ("mlx", [], "mlx (4 bits, groups of 64), which has no dry run"),
    ],
)
def test_what_transformers_and_peft_refuse(folders, kind, words, said, capsys):
    assert run(["simulate", "finetune", str(folders / kind), "--gpu", "T4", "--seq-len", "16", *words]) == 2
    error = capsys.readouterr().err
    assert said in " ".join(error.split())
    assert "Traceback" not in error


def test_a_plain_model_is_not_stored_in_a_format(tiny_folder, capsys):
    assert run(["simulate", "generate", tiny_folder, "--scheme", "gptq"]) == 2
    assert "has no quantization_config" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["aqlm", "mlx"])
def test_an_unknown_format_is_refused_in_a_line_and_still_weighed(folders, kind, capsys):
    assert run(["simulate", "generate", str(folders / kind)]) == 2
    assert "has no dry run" in capsys.readouterr().err
    assert run(["memory", str(folders / kind)]) == 0


def test_kernels_that_a_card_has_not_are_named(folders):
    notes = loaded(folders / "int4wo", "A100-80GB").assumptions
    assert any("mslk's int4 kernels are made of Hopper's instructions" in line for line in notes)
    assert not any("Hopper" in line for line in loaded(folders / "tiles", "A100-80GB").assumptions)
    with pytest.raises(InspectorError, match="no kernel for CUDA that reads 'plain_int32'"):
        loaded(folders / "plain_int32")


def test_bits_on_a_bitsandbytes_checkpoint_are_passed_over(folders):
    """transformers warns and takes the checkpoint's own config, of the same class."""
    report = finetune(str(folders / "int8"), gpu="T4", seq_len=16, bits=4)
    assert report.setup.load.quantization.scheme == "bitsandbytes"


def test_memory_shows_the_published_format_first(folders, capsys):
    assert run(["memory", str(folders / "gptq"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["focus"] == found["schemes"][0]["scheme"] == "published"
    assert "gptq (4 bits, groups of 128, act-order)" in found["schemes"][0]["assumptions"][0]
    assert run(["memory", str(folders / "gptq"), "--scheme", "gptq:4:128", "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)["schemes"][0]
    assert found["schemes"][0]["tensor_bytes"] == plain["tensor_bytes"]


def test_fit_tables_what_can_be_done_with_a_quantized_checkpoint(folders, capsys):
    line = ["fit", str(folders / "gptq"), "--gpu", "T4", "--gpu", "L4", "--seq-len", "16", "--json"]
    assert run(line) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["methods"] == ["LoRA"]
    assert {name for name, _ in map(dict.values, found["impossible"])} == {"full", "full, 8-bit AdamW", "QLoRA"}


def test_fit_on_one_card_is_of_the_checkpoint(folders, capsys):
    assert run(["fit", str(folders / "gptq"), "--gpu", "T4", "--seq-len", "16", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)
    report = finetune(str(folders / "gptq"), gpu="T4", seq_len=16)
    assert one["peak_allocated_bytes"] == report.peak_allocated_bytes


def test_lora_counts_go_with_what_peft_takes(folders, capsys):
    assert run(["lora", str(folders / "gptq")]) == 0
    assert "no row for all-linear" in capsys.readouterr().out
    assert run(["lora", str(folders / "gptq"), "--use-dora"]) == 2


@pytest.mark.parametrize("wrong", [{"bits": "four"}, {"bits": 4, "group_size": [128]}, {"bits": 5}, {"bits": True}])
def test_a_config_that_says_no_sizes_is_an_error_line(wrong):
    with pytest.raises(InspectorError):
        finetune({**TINY, "quantization_config": {"quant_method": "gptq", "group_size": 128, **wrong}}, seq_len=16)


def test_layers_that_are_treated_otherwise_are_all_traced():
    assert published_in({"quantization_config": {**NF4, "llm_int8_skip_modules": ["model.layers.1.mlp"]}}).names_layers
    assert not published_in({"quantization_config": NF4}).names_layers


@pytest.mark.parametrize(
    "raw",
    [
        {"quant_method": "fp8", "weight_block_size": [128, 128], "dequantize": False},
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        {"quant_method": "bitsandbytes", "load_in_8bit": True},
    ],
)
@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_layers_are_put_in_place_as_from_pretrained_puts_them(raw, name):
    """Its biases too, which its layers make without a dtype."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM
    from transformers.modeling_utils import ContextManagers
    from transformers.quantizers import AutoHfQuantizer

    from inspector.architecture import build_model
    from inspector.architecture.quantized_base import put_layers

    dtype = getattr(torch, name)
    config = Qwen2Config(
        hidden_size=256, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
        vocab_size=64,
    )  # fmt: skip
    # As `PreTrainedModel.from_pretrained` does, up to where it reads files.
    with ContextManagers(Qwen2ForCausalLM.get_init_context(dtype, True, False, None)):
        real = Qwen2ForCausalLM(copy.deepcopy(config))
        quantizer = AutoHfQuantizer.from_config(dict(raw), pre_quantized=True)
        quantizer.preprocess_model(model=real, dtype=dtype, device_map={"": 0})
    ours = build_model(config, name)
    put_layers(ours, AutoHfQuantizer.from_config(dict(raw), pre_quantized=True))

    def tensors(model):
        return {name: (tensor.shape, tensor.dtype) for name, tensor in model.state_dict().items()}

    assert tensors(ours) == tensors(real)
    assert tensors(ours)["model.layers.0.self_attn.q_proj.bias"] == ((256,), dtype)
