"""torchao: predictions and saved checkpoints, held to the library itself and to the sizes its README prints."""

import json

import pytest

import inspector
from inspector.checkpoint.against_skeleton import compare_with_skeleton
from inspector.checkpoint.stored_names import weight_of
from inspector.errors import InspectorError
from inspector.lenses.weights import stored_tensors
from inspector.precision import scheme_named
from inspector.precision.torchao import KINDS
from inspector.sources.bundled import load_bundled
from inspector.sources.resolve import locate
from tests.sources import extras
from tests.sources.conftest import LLAMA

WIDE = {**LLAMA, "hidden_size": 128, "intermediate_size": 256}
CONFIGS = {
    "int8wo": "Int8WeightOnlyConfig()",
    "int8dq": "Int8DynamicActivationInt8WeightConfig()",
    "float8wo": "Float8WeightOnlyConfig()",
    "float8dq": "Float8DynamicActivationFloat8WeightConfig(granularity=PerRow())",
    "int8da4w": "Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int4, weight_granularity=PerGroup(32))",
    "intxwo": "IntxWeightOnlyConfig(weight_dtype=torch.int4)",
}
SAVE = """
import json, sys, torch
from torchao.quantization import *
from torchao.quantization import quant_api
quant_api._check_hardware_support = lambda granularity: None  # only the products of float8dq need a GPU
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, TorchAoConfig
folder, configs, llama = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
LlamaForCausalLM(LlamaConfig(**llama)).to(torch.bfloat16).save_pretrained(folder + "/base")
for name, config in configs.items():
    made = TorchAoConfig(eval(config))
    model = AutoModelForCausalLM.from_pretrained(folder + "/base", dtype=torch.bfloat16, quantization_config=made)
    model.save_pretrained(f"{folder}/{name}")
"""
MIXTURE = """
import json, sys, torch
from torchao.quantization import Int8WeightOnlyConfig
from transformers import AutoConfig, AutoModelForCausalLM, TorchAoConfig
folder, config = sys.argv[1], AutoConfig.for_model("mixtral", **json.loads(sys.argv[2]))
AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder + "/base")
made = TorchAoConfig(Int8WeightOnlyConfig())
model = AutoModelForCausalLM.from_pretrained(folder + "/base", dtype=torch.bfloat16, quantization_config=made)
model.save_pretrained(folder + "/int8wo")
"""

INT4 = """
import json, sys, torch
torch.cuda.get_device_capability = lambda *device: (8, 0)  # asked for its products' sake; on meta there are none
from torchao.quantization.quantize_.workflows.int4.int4_tile_packed_to_4d_tensor import Int4TilePackedTo4dTensor
found = []
for rows, columns in json.loads(sys.argv[1]):
    weight = torch.empty(rows, columns, dtype=torch.bfloat16, device="meta")
    for group in (32, 64, 128, 256):
        made = Int4TilePackedTo4dTensor.from_hp(weight, [1, group])
        found.append([rows, columns, group, made.qdata.nbytes, made.scale_and_zero.nbytes])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def saved(once):
    """Folders that transformers and torchao saved, by scheme."""

    def make(folder):
        extras.have("torchao")
        llama = {key: value for key, value in WIDE.items() if key not in {"model_type", "dtype"}}
        done = extras.python("-c", SAVE, folder, json.dumps(CONFIGS), json.dumps(llama))
        assert done.returncode == 0, done.stderr[-2000:]

    return once("torchao", make)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONFIGS)
def test_a_saved_checkpoint_is_recognized_and_is_what_was_predicted(saved, kind):
    source = locate(str(saved / kind))
    report = compare_with_skeleton(source.checkpoint, source.skeleton)
    assert report.quantization == "torchao"
    assert (report.missing, report.unexpected, report.misshapen) == ((), (), ())
    assert report.parameters == locate(str(saved / "base")).skeleton.num_parameters
    rows = stored_tensors(source.skeleton, scheme_named(f"torchao:{kind}"))
    assert sum(row.tensor_bytes for row in rows if row.tensor.is_parameter) == report.tensor_bytes
    assert report.constant_bytes > 0
    assert 8 < report.bits_per_parameter < 13


@pytest.mark.slow
def test_fused_experts_are_left_alone(tmp_path):
    extras.have("torchao")
    mixture = {key: value for key, value in WIDE.items() if key not in {"model_type", "dtype"}}
    done = extras.python("-c", MIXTURE, tmp_path, json.dumps(mixture))
    assert done.returncode == 0, done.stderr[-2000:]
    source = locate(str(tmp_path / "int8wo"))
    report = compare_with_skeleton(source.checkpoint, source.skeleton)
    assert (report.quantization, report.missing, report.unexpected) == ("torchao", (), ())
    rows = stored_tensors(source.skeleton, scheme_named("torchao:int8wo"))
    assert sum(row.tensor_bytes for row in rows if row.tensor.is_parameter) == report.tensor_bytes
    assert not any(row.quantized for row in rows if ".experts." in row.tensor.name)


def test_llama_3_8b_in_int4_has_the_size_in_torchaos_readme():
    """4.22 GB there: every linear layer, the head too, and no embeddings (``get_model_size_in_bytes``)."""
    skeleton = load_bundled("meta-llama/Meta-Llama-3-8B")
    scheme = scheme_named("torchao:int4wo:64")
    total = 0
    for row in stored_tensors(skeleton, scheme):
        if row.tensor.name == "lm_head.weight":
            total += sum(piece.nbytes for piece in scheme.layout(*row.tensor.shape, 4, 64))
        elif row.tensor.name != "model.embed_tokens.weight":
            total += row.tensor_bytes
    assert round(total / 1e9, 2) == 4.22


@pytest.mark.slow
def test_int4_takes_the_bytes_of_torchaos_tiles():
    """``Int4Tensor`` itself needs mslk; the tiles of tinygemm hold as much where they pad nothing."""
    extras.have("torchao")
    rows = stored_tensors(load_bundled("meta-llama/Meta-Llama-3-8B"), scheme_named("torchao:int4wo:64"))
    shapes = sorted({row.tensor.shape for row in rows if row.quantized})
    assert len(shapes) == 4
    done = extras.python("-c", INT4, json.dumps(shapes))
    assert done.returncode == 0, done.stderr[-2000:]
    for outputs, inputs, group, values, constants in json.loads(done.stdout):
        weight, *rest = scheme_named(f"torchao:int4wo:{group}").layout(outputs, inputs, 4, group)
        assert (weight.nbytes, sum(piece.nbytes for piece in rest)) == (values, constants)


def test_names_and_sizes():
    assert scheme_named("torchao:int4_weight_only:32").name == "torchao:int4wo:32"
    assert {scheme_named(f"torchao:{kind}").name.split(":")[1] for kind in KINDS} == set(KINDS)
    assert inspector.load("llama-3.1-8b").memory(scheme="torchao:int8wo").focus.tensor_bytes < 9.1e9
    for wrong in ("torchao:int5", "torchao:int8wo:64", "torchao:int4wo:48", "torchao:int4wo:32:1"):
        with pytest.raises(InspectorError):
            scheme_named(wrong)


@pytest.mark.parametrize("part", ["qdata", "scale", "zero_point", "scale_and_zero", "act_pre_scale"])
def test_flattened_names_know_their_weight(part):
    assert weight_of(f"model.layers.0.mlp.up_proj._weight_{part}") == "model.layers.0.mlp.up_proj.weight"
