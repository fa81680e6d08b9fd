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
import json, logging, sys, torch
logging.disable(logging.CRITICAL)
torch.cuda.get_device_capability = lambda *device: (8, 0)
from torchao.core.config import config_to_dict
from torchao.kernel import intmm
from torchao.quantization import *
from torchao.quantization import quant_api
from torchao.quantization.quantize_.workflows import Int4Tensor
from inspector.precision.torchao_config import torchao_config
from inspector.simulate.device.kernels import cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.program.stored.torchao import TorchaoLinear, torchao_parts
from inspector.simulate.tracing.tracer import Tracer

def integer_product(_op, _dtype, a, b):  # as cuBLAS refuses few rows
    if a.shape[0] <= 16:
        raise RuntimeError
    return torch._int_mm(a, b)

intmm.out_dtype = integer_product
quant_api._check_hardware_support = lambda granularity: None
library = torch.library.Library("mslk", "FRAGMENT")
library.define("bf16i4bf16_rowwise(Tensor X, Tensor W, Tensor s, Tensor z) -> Tensor")
made = lambda x, w, s, z: torch.empty((x.shape[0], w.shape[0]), dtype=torch.bfloat16, device=x.device)
library.impl("bf16i4bf16_rowwise", made, "Meta")
CONFIGS = [
    Int4WeightOnlyConfig(group_size=64), Int4WeightOnlyConfig(group_size=64, int4_packing_format="tile_packed_to_4d"),
    Int8WeightOnlyConfig(), Int8WeightOnlyConfig(granularity=PerGroup(64)), Int8DynamicActivationInt8WeightConfig(),
    Float8WeightOnlyConfig(), Float8DynamicActivationFloat8WeightConfig(granularity=PerRow()),
    Float8DynamicActivationFloat8WeightConfig(),
    Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int4, weight_granularity=PerGroup(32)),
    Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int4, weight_granularity=PerAxis(0)),
    IntxWeightOnlyConfig(), IntxWeightOnlyConfig(weight_dtype=torch.int3, granularity=PerGroup(64)),
]

def real_layer(config, inputs, outputs, bias):
    layer = torch.nn.Linear(inputs, outputs, bias=bias, dtype=torch.bfloat16)
    if torchao_config({"quant_type": config_to_dict(config)}).packing == "plain":
        scales = [torch.empty(inputs // 64, outputs, dtype=torch.bfloat16) for _ in range(2)]
        weight = Int4Tensor(torch.empty(outputs, inputs // 2, dtype=torch.uint8), *scales, [1, 64], layer.weight.shape)
        layer.weight = torch.nn.Parameter(weight, requires_grad=False)
        return layer.to("meta")
    if getattr(config, "int4_packing_format", "") == "tile_packed_to_4d":
        quantize_(layer.to("meta"), config)
        return layer
    quantize_(layer, config)
    return layer.to("meta")

def allocated(layer, rows, inputs, gradient):
    tracer = Tracer(cuda_kernels(Device((9, 0), 132)))
    # Its shapes are asked of a fake tensor's device, which one on meta has not.
    tinygemm = lambda a, b, *_: torch.empty((a.shape[0], b.shape[0] * 8), dtype=a.dtype, device=a.device)
    tracer.kernels.replaced = {**tracer.kernels.replaced, torch.ops.aten._weight_int4pack_mm.default: tinygemm}
    tracer.kernels.device = None  # no workspace, which is more than all else here
    x = torch.empty(2, rows, inputs, dtype=torch.bfloat16, device="meta", requires_grad=gradient)
    tracer.ignore([x, *(part for part in parts_of(layer))])
    with torch.set_grad_enabled(gradient), tracer:
        out = layer(x)
        kept = len(tracer.log)
        if gradient and out.requires_grad:
            out.backward(torch.empty_like(out))
    # A copy's own scratch, the order of frees and what is less than a row are nobody's business.
    size = lambda event: tracer.rows[event if event >= 0 else ~event][0]
    alive, found = 0, []
    for event in (event for event in tracer.log if isinstance(event, int) and size(event) > 1500):
        alive += size(event) if event >= 0 else -size(event)
        found.append(alive)
    return [max(found, default=0), [size(event) for event in tracer.log if isinstance(event, int) and event >= 0 and
            size(event) > 1500]]

def parts_of(layer):
    yield from layer.buffers()
    for value in layer.parameters():
        names = ("qdata", "scale", "zero_point", "scale_and_zero")
        inner = [part for name in names if isinstance(part := getattr(value, name, None), torch.Tensor)]
        yield from inner or [value]

answer = []
for config in CONFIGS:
    read = torchao_config({"quant_type": config_to_dict(config)})
    for outputs, inputs in ((256, 512), (1024, 1152)):
        for bias in (False, True):
            real = real_layer(config, inputs, outputs, bias)
            ours = TorchaoLinear((inputs, outputs), torch.bfloat16 if bias else None, read)
            names = torchao_parts(read, inputs, outputs)
            shape = lambda part: [list(part.shape), str(part.dtype)]
            answer.append([repr(read), {name: shape(getattr(real.weight, name)) for name in names},
                           {name: [list(part), str(dtype)] for name, (part, dtype) in names.items()}])
            for rows in (4, 300):
                for gradient in (False, read.kind in {"int8wo", "float8wo", "int8dq"}):
                    answer.append([repr([read, inputs, outputs, bias, rows, gradient]),
                                   allocated(real, rows, inputs, gradient), allocated(ours, rows, inputs, gradient)])
print("ANSWER" + json.dumps(answer))
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
    """Parts, and all that a product takes on a card, with and without gradients: its own ``linear`` beside ours."""
    extras.have("torchao")
    done = extras.python("-c", TORCHAO)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.rpartition("ANSWER")[2])
    assert len(found) == 12 * 2 * 2 * 5
    for case, real, ours in found:
        assert ours == real, case
