"""How much a precision changes the weights, and a layer's output: measured with the libraries' own kernels.

Imports torch and bitsandbytes. The weights are those of the first decoder layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture import build_config, build_model
from inspector.precision import SCHEME_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inspector.measure.weightsource import WeightSource

ROWS = 2048
"""Output features taken of every matrix: enough for four digits, and blocks run along rows, so the rest is alike."""

INPUTS = 64
"""Random input vectors, standard normal."""


def quality(config: Mapping[str, Any], source: WeightSource, device: torch.device) -> dict[str, Any]:
    """Relative error of weights and of outputs by scheme, and the code values of the 4-bit types.

    Errors are Frobenius norms of the difference over that of the original, in float32, over every linear of the
    first layer: 0.1 means that the difference is a tenth as large as the thing itself.
    """
    totals = {name: [0.0, 0.0] for name in SCHEME_NAMES}
    whole = [0.0, 0.0]
    names = []
    # One seed for all: two runs differ by the schemes alone.
    generator = torch.Generator(device).manual_seed(0)
    for name, weight in _first_layer(config, source, device):
        names.append(name)
        exact = weight.float()
        inputs = torch.randn(INPUTS, weight.shape[1], generator=generator, device=device)
        output = inputs @ exact.T
        whole[0] += float(exact.square().sum())
        whole[1] += float(output.square().sum())
        for scheme in SCHEME_NAMES:
            difference = approximated(weight, scheme).float() - exact
            totals[scheme][0] += float(difference.square().sum())
            totals[scheme][1] += float((inputs @ difference.T).square().sum())
    return {
        "tensors": names,
        "rows": ROWS,
        "schemes": {
            scheme: {"weight_error": _root(error, whole[0]), "output_error": _root(out, whole[1])}
            for scheme, (error, out) in totals.items()
        },
        "codes": codes(),
    }


def _root(part: float, whole: float) -> float:
    return (part / whole) ** 0.5 if whole else 0.0


def approximated(weight: torch.Tensor, scheme: str) -> torch.Tensor:
    """A matrix after it was stored under a scheme and read back, by the library that scheme comes from."""
    from bitsandbytes import functional as bnb

    if scheme in {"fp32", "bf16", "fp16"}:
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[scheme]
        return weight.to(dtype)
    if scheme == "int8":
        # Through float16, as ``Int8Params._quantize`` goes (bitsandbytes/nn/modules.py).
        values, scales, _ = bnb.int8_vectorwise_quant(weight.to(torch.float16))
        restored: torch.Tensor = bnb.int8_vectorwise_dequant(values, scales)
        return restored
    if scheme == "fp8":
        return _through_fp8(weight)
    packed, state = bnb.quantize_4bit(weight, quant_type=scheme[:3], compress_statistics=scheme.endswith("-dq"))
    unpacked: torch.Tensor = bnb.dequantize_4bit(packed, state)
    return unpacked


def codes() -> dict[str, list[float]]:
    """The sixteen values four bits can mean, ascending, scaled to 1: nf4, fp4, and int4's even steps."""
    from bitsandbytes.functional import get_4bit_type

    found = {name: sorted(get_4bit_type(name, device="cpu").tolist()) for name in ("nf4", "fp4")}
    # Two's complement: eight steps below zero, seven above.
    return {**found, "int4": [step / 8 for step in range(-8, 8)]}


def _through_fp8(weight: torch.Tensor) -> torch.Tensor:
    """Fine-grained FP8 of transformers: one scale a block of 128 x 128; as it is where blocks do not fit."""
    from transformers.integrations.finegrained_fp8 import Fp8Quantize

    from inspector.measure.build import quantizer_for
    from inspector.precision import scheme_named

    made = Fp8Quantize(quantizer_for(scheme_named("fp8"))).convert({"weight": weight})
    if len(made) == 1:
        return weight
    values, scales = made["weight"], made["weight_scale_inv"]
    # Off the shapes, as the size of the blocks is the quantizer's to choose.
    high, wide = (side // blocks for side, blocks in zip(values.shape, scales.shape, strict=True))
    whole: torch.Tensor = values.float() * scales.float().repeat_interleave(high, 0).repeat_interleave(wide, 1)
    return whole


def _first_layer(
    config: Mapping[str, Any], source: WeightSource, device: torch.device
) -> Iterator[tuple[str, torch.Tensor]]:
    """The matrices of the linears in the first decoder layer, up to `ROWS` rows each, in float32 as they were."""
    from transformers.pytorch_utils import Conv1D

    model = build_model(build_config(config), "bfloat16")
    for path, module in model.named_modules():
        # The first number of a path counts layers; a later one may be an expert's, in any layer.
        first = next((part for part in path.split(".") if part.isdigit()), "")
        if isinstance(module, (torch.nn.Linear, Conv1D)) and first == "0":
            name = f"{path}.weight"
            weight = source.tensor(name, tuple(module.weight.shape), torch.float32, device)
            # `Conv1D` stores inputs by outputs, and `ROWS` counts outputs.
            weight = weight.T if isinstance(module, Conv1D) else weight
            yield name, weight[:ROWS].contiguous()
