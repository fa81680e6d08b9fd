"""compressed-tensors of several groups, and experts that transformers keeps in one parameter, as it loads them."""

from __future__ import annotations

import json

import pytest
import torch

from inspector.cli.main import run
from inspector.lenses.weights import weights
from inspector.precision.as_published import published_scheme
from inspector.simulate.device.cuda import as_on
from inspector.simulate.device.kernels import cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.generation import simulate_generate
from inspector.simulate.program.load import load_model
from inspector.simulate.setup.load import LoadSetup, Quantization
from inspector.simulate.tracing.tracer import Tracer
from inspector.sources.resolve import locate
from tests.sources import extras

SMALL = {
    "vocab_size": 512, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "dtype": "bfloat16",
}  # fmt: skip
LLAMA = {**SMALL, "model_type": "llama", "architectures": ["LlamaForCausalLM"]}
MIXTRAL = {
    **SMALL, "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "num_local_experts": 4,
    "num_experts_per_tok": 2,
}  # fmt: skip
W4 = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 128}
F8 = {"num_bits": 8, "type": "float", "symmetric": True, "strategy": "channel"}
TOKENS = {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True, "symmetric": True}


def group(weights_, *targets, inputs=None, stored=None):
    return {"targets": [*targets], "weights": weights_, "input_activations": inputs, "format": stored}


def stored_as(*groups, form="mixed-precision"):
    named = {f"group_{index}": one for index, one in enumerate(groups)}
    ignored = ["lm_head", "re:.*gate$"]
    return {"quant_method": "compressed-tensors", "format": form, "ignore": ignored, "config_groups": named}


ATTENTION = group(F8, "re:.*self_attn.*", inputs=TOKENS, stored="float-quantized")
KINDS = {
    "w4a16": (MIXTRAL, stored_as(group(W4, "Linear"), form="pack-quantized")),
    "fp8": (MIXTRAL, stored_as(group(F8, "Linear", inputs=TOKENS), form="float-quantized")),
    "experts": (MIXTRAL, stored_as(ATTENTION, group(W4, "re:.*experts.*", stored="pack-quantized"))),
    "dense": (LLAMA, stored_as(ATTENTION, group(W4, "re:.*mlp.*", stored="pack-quantized"))),
    "bits": (
        LLAMA,
        stored_as(group({**W4, "num_bits": 8}, "re:.*down_proj"), group(W4, "Linear"), form="pack-quantized"),
    ),
    "int8": (
        MIXTRAL,
        stored_as(group({**F8, "type": "int"}, "Linear", inputs={**TOKENS, "type": "int"}), form="int-quantized"),
    ),
    "blocks": (
        MIXTRAL,
        stored_as(group({**F8, "strategy": "block", "block_structure": [128, 128]}, "Linear"), form="float-quantized"),
    ),
    "gptq": (MIXTRAL, {"quant_method": "gptq", "bits": 4, "group_size": 128}),
    "awq": (MIXTRAL, {"quant_method": "awq", "bits": 4, "group_size": 128}),
    "hqq": (
        MIXTRAL,
        {
            "quant_method": "hqq", "skip_modules": ["lm_head"],
            "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}},
        },
    ),
    "int8wo": (MIXTRAL, {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int8WeightOnlyConfig"}}}),
}  # fmt: skip

REAL = """
import json, os, sys, torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, CompressedTensorsConfig
from transformers.utils import logging
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config
logging.set_verbosity_error()

def shell(state):
    root = torch.nn.Module()
    for name, value in state.items():
        *path, leaf = name.split(".")
        module = root
        for depth, part in enumerate(path):
            if part not in module._modules:
                linear = depth == len(path) - 1 and value.dim() == 2 and "embed" not in name
                plain = torch.nn.Module()
                made = torch.nn.Linear(*value.shape[::-1], bias=False, dtype=value.dtype) if linear else plain
                module.add_module(part, made)
            module = module._modules[part]
        if isinstance(module, torch.nn.Linear):
            module.weight.data = value
        else:
            module.register_parameter(leaf, torch.nn.Parameter(value))
    return root

def tensors(model):
    found = [*model.named_parameters(), *model.named_buffers()]
    return {name: [list(t.shape), str(t.dtype)] for name, t in found if "inv_freq" not in name}

def answer(folder, **more):
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, **more)
    except RuntimeError as error:
        return str(error).split("\\n")[0]
    found = [tensors(model)]
    if not more:
        with torch.no_grad():
            model(torch.arange(4)[None])
        found.append(tensors(model))
    return found

from safetensors.torch import load_file
said = {}
for folder in sys.argv[1:]:
    raw = json.load(open(folder + "/config.json"))
    quantization = raw.pop("quantization_config")
    plain = AutoModelForCausalLM.from_config(AutoConfig.for_model(**raw), dtype=torch.bfloat16)
    plain.save_pretrained(folder + "/plain")
    root = shell(load_file(folder + "/plain/model.safetensors"))
    config = QuantizationConfig(**quantization)
    apply_quantization_config(root, config)
    for name, scale in root.named_parameters():
        if "scale" in name:
            scale.data.fill_(0.01)
    ModelCompressor(quantization_config=config).compress_model(root)
    save_file({name: t.contiguous() for name, t in root.state_dict().items()}, folder + "/model.safetensors",
              metadata={"format": "pt"})
    raw["quantization_config"] = {**quantization, "quantization_status": "compressed"}
    json.dump(raw, open(folder + "/config.json", "w"))
    whole = answer(folder, quantization_config=CompressedTensorsConfig(dequantize=True))
    said[os.path.basename(folder)] = [answer(folder), whole]
print("ANSWER" + json.dumps(said))
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("groups")
    for kind, (config, raw) in KINDS.items():
        (root / kind).mkdir()
        (root / kind / "config.json").write_text(json.dumps({**config, "quantization_config": raw}))
    return root


def ours(folder, *, dequantize=False):
    """The tensors after loading, and after the first forward, by name, shape and dtype; or what is refused."""
    device = Device((8, 0), 108)
    tracer = Tracer(cuda_kernels(device))
    scheme = None if dequantize else Quantization("compressed-tensors", compute_dtype="auto", double_quant=False)
    setup = LoadSetup(dtype="auto", quantization=scheme)
    with as_on(device, tracer.page, fp8=False), torch.no_grad():
        model = load_model(json.loads((folder / "config.json").read_text()), setup, tracer)
        found = [_tensors(model)]
        if not dequantize:
            with tracer:
                model(torch.empty((1, 4), dtype=torch.int64, device="meta"))
            found.append(_tensors(model))
    return found


def _tensors(model):
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: [list(one.shape), str(one.dtype)] for name, one in named if "inv_freq" not in name}


@pytest.mark.slow
def test_loaded_as_transformers_loads_real_files(folders):
    extras.have("compressed_tensors")
    kinds = ["w4a16", "fp8", "experts", "dense", "bits", "int8", "blocks"]
    done = extras.python("-c", REAL, *(str(folders / kind) for kind in kinds))
    assert "ANSWER" in done.stdout, done.stderr[-3000:]
    real = json.loads(done.stdout.rpartition("ANSWER")[2])
    from inspector.errors import CannotSimulateError

    for kind in kinds:
        for dequantize, said in zip((False, True), real[kind], strict=True):
            if isinstance(said, str):
                with pytest.raises(CannotSimulateError) as refused:
                    ours(folders / kind, dequantize=dequantize)
                assert said.partition(" For details")[0] in refused.value.message
            else:
                assert ours(folders / kind, dequantize=dequantize) == said, (kind, dequantize)


@pytest.mark.parametrize("kind", ["w4a16", "fp8", "experts"])
def test_experts_in_one_parameter_are_decompressed_as_they_are_loaded(folders, kind):
    report = simulate_generate(str(folders / kind), gpu="L4", prompt_len=16, max_new_tokens=2)
    experts = 2 * 3 * 4 * 128 * 256 * 2
    # Embedding and head, attention, and the experts at two bytes each.
    assert report.weights_bytes > experts + 2 * 512 * 128 * 2
    # While they are loaded, their parts are there as well.
    assert max(point.allocated for point in report.timeline if point.stage == "load") > report.weights_bytes
    assert any("experts, which it keeps in one parameter, are bfloat16" in line for line in report.assumptions)


@pytest.mark.parametrize("kind", ["dense", "bits", "int8wo", "hqq"])
def test_what_is_loaded_is_what_memory_says(folders, kind):
    source = locate(str(folders / kind))
    predicted = weights(source.skeleton, published_scheme(source.config, source.skeleton)).allocated_bytes
    report = simulate_generate(str(folders / kind), gpu="L4", prompt_len=16, max_new_tokens=2)
    assert report.weights_bytes == pytest.approx(predicted, abs=20 * 512)


@pytest.mark.parametrize(
    ("kind", "command", "said"),
    [
        ("gptq", "generate", "reports the packed ones as UNEXPECTED and the parameter as MISSING, newly initialized"),
        ("awq", "finetune", "reports the packed ones as UNEXPECTED and the parameter as MISSING, newly initialized"),
        ("int8", "generate", "We encountered some issues during automatic conversion of the weights."),
        ("blocks", "finetune", "We encountered some issues during automatic conversion of the weights."),
        ("dense", "finetune", "dequantizes every layer as float-quantized in 8 bits, and some are in pack-quantized"),
    ],
)
def test_what_transformers_does_not_load_is_said_in_its_words(folders, kind, command, said, capsys):
    assert run(["simulate", command, str(folders / kind)]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert run(["memory", str(folders / kind), "--scheme", "published"]) == 0


def test_hqq_says_who_loads_it(folders):
    report = simulate_generate(str(folders / "hqq"), gpu="L4", prompt_len=16, max_new_tokens=2)
    said = " ".join(report.assumptions)
    assert "as its own from_quantized loads them, experts in one parameter left as they are" in said
    assert "transformers 5.23 reports packed HQQ weights as UNEXPECTED" in said
