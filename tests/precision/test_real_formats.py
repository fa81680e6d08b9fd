"""Checkpoints that compressed-tensors, hqq and transformers write: recognized, whole, and just what was predicted."""

import json

import pytest

from inspector.checkpoint.against_skeleton import compare_with_skeleton
from inspector.cli.main import run
from inspector.lenses.weights import stored_tensors
from inspector.precision import scheme_named
from inspector.sources.bundled import load_bundled
from inspector.sources.resolve import locate
from tests.models import of_other_names
from tests.sources import extras
from tests.sources.conftest import LLAMA

pytestmark = pytest.mark.slow

WIDE = {**LLAMA, "hidden_size": 128, "intermediate_size": 256}
PRESETS = {
    "W4A16": "w4a16:4:128", "W8A16": "w4a16:8:128", "NVFP4": "nvfp4",
    "W4A16_ASYM": "", "W8A8": "", "FP8": "", "FP8_DYNAMIC": "", "FP8_BLOCK": "", "NVFP4A16": "", "MXFP4A16": "",
}  # fmt: skip
"""compressed-tensors' names for a way to quantize, with our prediction of those that have one."""
HQQ_BITS = (8, 4, 3, 2, 1)

BASE = """
import json, sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
folder, llama, wanted = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
def base():
    return LlamaForCausalLM(LlamaConfig(**llama)).to(torch.bfloat16)
"""
COMPRESS = (
    BASE
    + """
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config, preset_name_to_scheme
for preset in wanted:
    model = base()
    groups = {"all": preset_name_to_scheme(preset, ["Linear"])}
    apply_quantization_config(model, QuantizationConfig(config_groups=groups, ignore=["lm_head"]))
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if name.endswith("_scale"):
                parameter.data.fill_(1)
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    model.save_pretrained(f"{folder}/{preset}")
    compressor.update_config(f"{folder}/{preset}")
"""
)
HQQ = (
    BASE
    + """
from hqq.core.quantize import BaseQuantizeConfig
from hqq.models.hf.base import AutoHQQHFModel
for bits in wanted:
    model, config = base(), BaseQuantizeConfig(nbits=bits, group_size=64)
    AutoHQQHFModel.quantize_model(model, quant_config=config, compute_dtype=torch.bfloat16, device="cpu")
    AutoHQQHFModel.save_to_safetensors(model, f"{folder}/{bits}")
"""
)

FP8 = """
import json, sys, torch
from transformers import AutoConfig, AutoModelForCausalLM, FineGrainedFP8Config
from transformers.integrations.finegrained_fp8 import replace_with_fp8_linear
from transformers.quantizers.base import HfQuantizer
folder, llama, wanted = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
for kind in wanted:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **llama), dtype=torch.bfloat16)
    kept = HfQuantizer.get_modules_to_not_convert(model, None, model._keep_in_fp32_modules)
    model.config.quantization_config = FineGrainedFP8Config()
    replace_with_fp8_linear(model, kept, model.config.quantization_config)
    for module in model.modules():  # from_pretrained would fill them, on a GPU alone: sizes and names are all we ask
        if any(parameter.is_meta for parameter in module.parameters(recurse=False)):
            module.to_empty(device="cpu", recurse=False)
    model.save_pretrained(f"{folder}/{kind}")
"""

MODULES = """
import importlib, json, sys, types, torch
def module(path):
    # Their packages want a transformers of 2024; the file of the layer itself wants torch alone.
    *packages, _ = [path.split(".")[:end + 1] for end in range(path.count(".") + 1)]
    for parts in packages:
        name = ".".join(parts)
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [f"{sys.argv[1]}/{name.replace('.', '/')}"]
    return importlib.import_module(path)
def stored(layer):
    return {name: [tensor.numel(), str(tensor.dtype)] for name, tensor in layer.named_buffers()}
gptq = module("auto_gptq.nn_modules.qlinear.qlinear_cuda_old").QuantLinear
awq = module("awq.modules.linear.gemm").WQLinear_GEMM
found = []
with torch.device("meta"):
    for rows, columns in json.loads(sys.argv[2]):
        for bits in (2, 3, 4, 8):
            for group in (32, 128, -1):
                found.append(["gptq", bits, group, rows, columns, stored(gptq(bits, group, columns, rows, False))])
        for group in (32, 128) if columns % 128 == 0 else ():
            found.append(["awq", 4, group, rows, columns, stored(awq(4, group, columns, rows, False, "meta"))])
print(json.dumps(found))
"""


def written(folder, package, script, wanted):
    if package != "transformers":
        extras.have(package)
    llama = {key: value for key, value in WIDE.items() if key not in {"model_type", "dtype"}}
    done = extras.python("-c", script, folder, json.dumps(llama), json.dumps(list(wanted)))
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def compressed(once):
    """Folders that compressed-tensors wrote, by preset."""
    return once("compressed", lambda folder: written(folder, "compressed_tensors", COMPRESS, PRESETS))


@pytest.fixture(scope="module")
def hqq(once):
    """Folders that hqq wrote, by bits; it puts no quantization_config into the config."""
    return once("hqq", lambda folder: written(folder, "hqq", HQQ, HQQ_BITS))


@pytest.fixture(scope="module")
def fp8(once):
    """Folders of transformers' own FP8 modules, by model type; the values in them are arbitrary."""
    return once("fp8", lambda folder: written(folder, "transformers", FP8, ("llama", "mixtral")))


def test_layouts_are_those_of_the_layers_of_autogptq_and_autoawq():
    """Of every linear layer that their kernels take, and of each expert, in models of every family and layout."""
    extras.have("auto_gptq")
    extras.have("awq")
    shapes = sorted({shape for model in {depth.model for depth in of_other_names()} for shape in linear_shapes(model)})
    done = extras.python("-c", MODULES, extras.FOLDER, json.dumps(shapes))
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert len(found) > 500
    for kind, bits, group, rows, columns, real in found:
        scheme = scheme_named(f"{kind}:{bits}:{group}")
        pieces = scheme.layout(rows, columns, bits, group if group > 0 else columns)
        ours = {"qweight" if piece.role == "weight" else piece.role: [piece.numel, piece.dtype] for piece in pieces}
        assert ours == {name: [numel, dtype.removeprefix("torch.")] for name, (numel, dtype) in real.items()}


def linear_shapes(model):
    """Outputs and inputs that are multiples of 32, as both libraries ask."""
    for row in stored_tensors(load_bundled(model), scheme_named("gptq:4:128")):
        shape = row.tensor.shape
        if row.quantized and len(shape) == 2 and not (shape[0] % 32 or shape[1] % 32):
            yield shape


def assert_recognized(source, method):
    report = compare_with_skeleton(source.checkpoint, source.skeleton)
    assert report.quantization == method
    assert (report.missing, report.unexpected, report.misshapen) == ((), (), ())
    assert report.parameters == source.skeleton.num_parameters
    assert 0 < report.constant_bytes < report.tensor_bytes


@pytest.mark.parametrize("preset", PRESETS)
def test_what_compressed_tensors_writes(compressed, preset):
    source = locate(str(compressed / preset))
    assert_recognized(source, "compressed-tensors")
    if PRESETS[preset]:
        rows = stored_tensors(source.skeleton, scheme_named(PRESETS[preset]))
        assert sum(row.tensor_bytes for row in rows if row.tensor.is_parameter) == source.checkpoint.tensor_bytes


@pytest.mark.parametrize("bits", HQQ_BITS)
def test_what_hqq_writes(hqq, bits):
    """Its files also hold some sixty bytes a layer of settings, which the prediction leaves out."""
    source = locate(str(hqq / str(bits)))
    assert_recognized(source, "hqq")
    values = (".W_q", ".scale", ".zero", ".weight")
    stored = sum(tensor.nbytes for tensor in source.checkpoint.tensors if tensor.name.endswith(values))
    rows = stored_tensors(source.skeleton, scheme_named(f"hqq:{bits}:64"))
    assert sum(row.tensor_bytes for row in rows if row.tensor.is_parameter) == stored
    packed = sum(tensor.name.endswith(".W_q") for tensor in source.checkpoint.tensors)
    assert 0 < source.checkpoint.tensor_bytes - stored < 120 * packed


@pytest.mark.parametrize("kind", ["llama", "mixtral"])
def test_what_transformers_writes_in_fp8(fp8, kind, capsys):
    """Mixtral's experts are split into one tensor each, their scales stay fused."""
    source = locate(str(fp8 / kind))
    assert_recognized(source, "fp8")
    rows = stored_tensors(source.skeleton, scheme_named("fp8"))
    assert sum(row.tensor_bytes for row in rows if row.tensor.is_parameter) == source.checkpoint.tensor_bytes
    assert run(["checkpoint", str(fp8 / kind)]) == 0
    assert "published in fp8" in capsys.readouterr().out
    assert run(["memory", str(fp8 / kind), "--scheme", "stored", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schemes"][0]["tensor_bytes"] == source.checkpoint.tensor_bytes
