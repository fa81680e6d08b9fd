"""torchao's quantized weights: what its tensor subclasses keep, and how ``linear`` multiplies with them.

Source: torchao 0.18, quantization/quantize_/workflows (``Int8Tensor``, ``Float8Tensor``, ``Int4Tensor``,
``Int4PreshuffledTensor``, ``Int4TilePackedTo4dTensor``, ``IntxUnpackedToInt8Tensor``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from inspector.errors import CannotSimulateError
from inspector.precision.torchao import tiles_of
from inspector.precision.torchao_config import KNOWN, TorchaoConfig, torchao_config
from inspector.simulate.device import torchao as products
from inspector.simulate.device.fp8 import has_fp8
from inspector.simulate.program.stored.layers import Packed, Parts, features_of, fused_experts, replace_each
from inspector.simulate.program.stored.loader import Loader

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from inspector.precision.published import Published
    from inspector.simulate.device.questions import Device
    from inspector.simulate.tracing.tracer import Tracer

_MSLK = ("plain", "preshuffled")
_PACKINGS = (*_MSLK, "tile_packed_to_4d")
"""Of int4, those that have kernels for CUDA; ``plain_int32`` is for XPU and NPU (int4_plain_int32_tensor.py)."""


def torchao_parts(config: TorchaoConfig, inputs: int, outputs: int) -> Parts:
    """Values, scales and zero points by torchao's names."""
    group = config.group
    groups = -(-inputs // group) if group > 0 else 1
    scales = (outputs, groups) if group else (1, 1)
    if config.packing == "tile_packed_to_4d":
        rows, columns = tiles_of(outputs, inputs)
        return {
            "qdata": ((rows // 8, columns // 128, 32, 4), torch.int32),
            "scale_and_zero": ((-(-columns // group), rows, 2), torch.bfloat16),
        }
    if config.kind == "int4wo":
        return {
            "qdata": ((outputs, inputs // 2), torch.uint8),
            "scale": ((groups, outputs), torch.bfloat16),
            "zero_point": ((groups, outputs), torch.bfloat16),
        }
    if config.kind in {"int8da4w", "intxwo"}:
        return {
            "qdata": ((outputs, inputs), torch.int8),
            "scale": (scales, torch.bfloat16),
            "zero_point": (scales, torch.int8),
        }
    if config.kind in {"float8wo", "float8dq"}:
        return {"qdata": ((outputs, inputs), torch.float8_e4m3fn), "scale": (scales, torch.float32)}
    return {
        "qdata": ((outputs, inputs), torch.int8),
        "scale": (scales, torch.float32),
        "zero_point": (scales, torch.int8),
    }


class TorchaoLinear(Packed, nn.Linear):
    """An ``nn.Linear`` whose weight is a tensor subclass; ``compute_dtype`` is the dtype that one says it has."""

    scale: torch.Tensor
    zero_point: torch.Tensor

    def __init__(self, features: tuple[int, int], bias: torch.dtype | None, config: TorchaoConfig) -> None:
        super().__init__(*features, bias=bias is not None, device="meta", dtype=bias)
        parts = torchao_parts(config, *features)
        shape, dtype = parts.pop("qdata")
        self.weight = nn.Parameter(torch.empty(shape, dtype=dtype, device="meta"), requires_grad=False)
        for name, (shape, dtype) in parts.items():
            self.register_buffer(name, torch.empty(shape, dtype=dtype, device="meta"))
        self.config = config
        self.compute_dtype = torch.bfloat16

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 -- the name that nn.Linear has
        """The product; each subclass's own ``aten.linear``."""
        out = self._product(input.reshape(-1, self.in_features)).reshape(*input.shape[:-1], self.out_features)
        if self.bias is not None and (self.config.kind == "float8wo" or self.config.packing in _MSLK):
            out = out + self.bias
        elif self.bias is not None:
            out += self.bias
        return out.to(input.dtype)

    def _product(self, rows: torch.Tensor) -> torch.Tensor:
        kind, weight = self.config.kind, self.weight
        if self.config.packing == "tile_packed_to_4d":
            return products.int4_tinygemm(rows, self.out_features)
        if kind == "int4wo":
            return products.int4_mslk(rows, self.out_features)
        if kind == "int8wo":
            return products.int8_weight_only(rows, weight, self.scale, self.zero_point)
        if kind == "int8dq":
            return products.int8_dynamic(rows, weight, self.scale)
        if kind == "float8dq":
            return products.float8_dynamic(rows, weight, by_rows=self.config.group != 0)
        if kind == "float8wo":
            return products.float8_weight_only(rows, weight, self.scale)
        if kind == "intxwo":
            return products.intx_weight_only(rows, weight, self.scale, self.zero_point)
        return products.int8_activations_and_groups(rows, weight, self.scale, self.zero_point)


def torchao(model: PreTrainedModel, published: Published, tracer: Tracer, *, training: bool) -> Loader:  # noqa: ARG001
    """Every linear layer but the head and those the config lists. Raises CannotSimulateError for an unknown kind."""
    config = torchao_config(published.raw)
    if not config.kind:
        raise CannotSimulateError(
            f"quantization_config.quant_type is {published.torchao_said!r:.60}, whose layout is not known here",
            hint=f"known: {', '.join(KNOWN)}; `inspector memory --scheme stored` weighs its files",
        )
    if config.packing and config.packing not in _PACKINGS:
        raise CannotSimulateError(
            f"torchao 0.18 has no kernel for CUDA that reads {config.packing[:40]!r}",
            hint="quantize it anew with "
            + (f"int4_packing_format {' or '.join(_PACKINGS)}" if config.kind == "int4wo" else "unpacked_to_int8"),
        )

    def make(module: nn.Module) -> nn.Module:
        features = features_of(module)
        bias = model.dtype if getattr(module, "bias", None) is not None else None
        return TorchaoLinear(features, bias, config)

    # A list of its own takes the place of transformers' (``get_modules_to_not_convert``).
    replace_each(model, published, make, blocks=False, head=published.kept is not None)
    stacks = ", experts in one parameter left as they are" if fused_experts(model) else ""
    tracer.notes.append(
        f"weights as stored, {published.title}: tensors of torchao 0.18 with {_kernel(config)}, whose temporaries are"
        f" from their source{stacks}"
    )
    if (device := tracer.kernels.device) is not None and (missing := _missing(config, device)):
        tracer.notes.append(f"{missing}: this card has none of them, and the layers fail on it")
    return Loader()


def _kernel(config: TorchaoConfig) -> str:
    if config.packing == "tile_packed_to_4d":
        return "PyTorch's tinygemm kernels"
    if config.kind == "int4wo":
        return "mslk's int4 kernels"
    return "PyTorch's kernels"


def _missing(config: TorchaoConfig, device: Device) -> str:
    """What the card would need, "" where it has it."""
    if config.packing == "tile_packed_to_4d":
        return "" if device.ask(products.has_tinygemm) else "tinygemm's int4 kernels want compute capability 8.0"
    if config.kind == "int4wo":
        return "" if device.ask(products.has_mslk_int4) else "mslk's int4 kernels are made of Hopper's instructions"
    if config.kind == "float8dq":
        return "" if device.ask(has_fp8) else "products of float8 want compute capability 8.9"
    return ""
