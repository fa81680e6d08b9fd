"""Our packed layers have the tensors of the libraries' own layers, by name, shape and dtype."""

from __future__ import annotations

import json

import pytest

from tests.precision.test_real_formats import MODULES
from tests.sources import extras

pytestmark = pytest.mark.slow

SHAPES = [(256, 512), (1024, 4096), (14336, 4096), (4096, 14336)]
"""Outputs and inputs."""

HQQ = """
import json, sys, torch
from hqq.core.quantize import BaseQuantizeConfig, HQQLinear
found = []
for outputs, inputs in json.loads(sys.argv[1]):
    for bits in (8, 4, 3, 2, 1):
        layer = torch.nn.Linear(inputs, outputs, bias=False, dtype=torch.bfloat16)
        config = BaseQuantizeConfig(nbits=bits, group_size=64)
        config["weight_quant_params"]["optimize"] = False
        layer = HQQLinear(layer, config, compute_dtype=torch.bfloat16, device="cpu")
        parts = {"W_q": layer.W_q, "scale": layer.meta["scale"], "zero": layer.meta["zero"]}
        sizes = {name: [list(part.shape), str(part.dtype)] for name, part in parts.items()}
        found.append([outputs, inputs, bits, sizes])
print(json.dumps(found))
"""
COMPRESSED = """
import json, sys, torch
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config, preset_name_to_scheme
found = []
for outputs, inputs in json.loads(sys.argv[1]):
    for preset in ("W4A16", "W8A16", "W4A16_ASYM", "W8A8", "FP8", "FP8_DYNAMIC", "FP8_BLOCK", "NVFP4A16", "NVFP4",
                   "MXFP4A16"):
        with torch.device("meta"):
            model = torch.nn.Sequential(torch.nn.Linear(inputs, outputs, bias=False, dtype=torch.bfloat16))
        scheme = preset_name_to_scheme(preset, ["Linear"])
        config = QuantizationConfig(config_groups={"all": scheme})
        apply_quantization_config(model, config)
        compressor = ModelCompressor(quantization_config=config)
        compressor.compress_model(model)
        named = {**json.loads(scheme.model_dump_json()), "format": None}
        state = dict(model[0].state_dict())
        if preset == "W4A16_ASYM":  # on meta it stays unpacked; in files, and when it is compressed for real, it is not
            state["weight_zero_point"] = pack_to_int32(torch.zeros(outputs, inputs // 128, dtype=torch.int8), 4, 0)
        parts = {name: [list(part.shape), str(part.dtype)] for name, part in state.items()}
        found.append([outputs, inputs, str(model[0].quantization_scheme.format.value), named, parts])
print(json.dumps(found))
"""
TORCHAO = """
import json, sys, torch
from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, quantize_
found = []
for outputs, inputs in json.loads(sys.argv[1]):
    for kind, config in (("int8wo", Int8WeightOnlyConfig(version=2)), ("float8wo", Float8WeightOnlyConfig())):
        layer = torch.nn.Linear(inputs, outputs, bias=False, dtype=torch.bfloat16)
        quantize_(layer, config)
        parts = {name: getattr(layer.weight, name, None) for name in ("qdata", "scale", "zero_point")}
        tensors = {name: part for name, part in parts.items() if isinstance(part, torch.Tensor)}
        sizes = {name: [list(part.shape), str(part.dtype)] for name, part in tensors.items()}
        found.append([outputs, inputs, kind, sizes])
print(json.dumps(found))
"""


def said(script, *arguments):
    done = extras.python("-c", script, *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def spelled(parts):
    return {name: [list(shape), str(dtype)] for name, (shape, dtype) in parts.items()}


def test_gptq_and_awq():
    extras.have("auto_gptq")
    extras.have("awq")
    import torch

    from inspector.simulate.program.stored.gptq import awq_parts, gptq_parts

    for kind, bits, group, rows, columns, real in said(MODULES, extras.FOLDER, json.dumps(SHAPES)):
        parts = (gptq_parts if kind == "gptq" else awq_parts)(columns, rows, bits, group, torch.float16)
        sizes = {name: [torch.Size(shape).numel(), str(dtype)] for name, (shape, dtype) in parts.items()}
        assert sizes == real, (kind, bits, group, rows, columns)


def test_hqq():
    extras.have("hqq")
    import torch

    from inspector.simulate.program.stored.hqq import hqq_parts

    for outputs, inputs, bits, real in said(HQQ, json.dumps(SHAPES[:2])):
        assert spelled(hqq_parts(inputs, outputs, bits, 64, torch.bfloat16)) == real, bits


def test_compressed_tensors():
    extras.have("compressed_tensors")
    import torch

    from inspector.precision.compressed import groups_in
    from inspector.precision.published import published_in
    from inspector.simulate.program.stored.compressed import compressed_parts

    for outputs, inputs, stored, scheme, real in said(COMPRESSED, json.dumps(SHAPES)):
        raw = {"quant_method": "compressed-tensors", "config_groups": {"all": scheme}}
        (group,) = groups_in(published_in({"quantization_config": raw}))
        # A config that names no format has the one the library infers.
        assert group.stored == stored, scheme
        assert spelled(compressed_parts(group, inputs, outputs, torch.bfloat16)) == real, (stored, scheme)


def test_torchao():
    extras.have("torchao")
    from inspector.simulate.program.stored.torchao import torchao_parts

    for outputs, inputs, kind, real in said(TORCHAO, json.dumps(SHAPES[:2])):
        assert spelled(torchao_parts(kind, inputs, outputs, -1)) == real, kind
