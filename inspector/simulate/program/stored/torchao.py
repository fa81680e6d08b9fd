"""torchao's quantized weights: what its tensor subclasses keep, and how ``linear`` multiplies with them.

Source: torchao 0.18, quantization/quantize_/workflows (``Int8Tensor``, ``Float8Tensor``, ``Int4Tensor``,
``IntxUnpackedToInt8Tensor``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from inspector.errors import CannotSimulateError
from inspector.simulate.device.packed_kernels import dequantized
from inspector.simulate.program.stored.layers import Packed, Parts, features_of, fused_experts, replace_each
from inspector.simulate.program.stored.loader import Loader

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from inspector.precision.published import Published
    from inspector.simulate.tracing.tracer import Tracer


def torchao_parts(kind: str, inputs: int, outputs: int, group: int) -> Parts:
    """Values, scales and zero points by torchao's names."""
    groups = -(-inputs // group) if group > 0 else 1
    if kind == "int4wo":
        return {
            "qdata": ((outputs, inputs // 2), torch.uint8),
            "scale": ((groups, outputs), torch.bfloat16),
            "zero_point": ((groups, outputs), torch.bfloat16),
        }
    if kind == "int8da4w":
        return {
            "qdata": ((outputs, inputs), torch.int8),
            "scale": ((outputs, groups), torch.bfloat16),
            "zero_point": ((outputs, groups), torch.int8),
        }
    if kind in {"float8wo", "float8dq"}:
        return {"qdata": ((outputs, inputs), torch.float8_e4m3fn), "scale": ((outputs, 1), torch.float32)}
    return {
        "qdata": ((outputs, inputs), torch.int8),
        "scale": ((outputs, 1), torch.float32),
        "zero_point": ((outputs, 1), torch.int8),
    }


class TorchaoLinear(Packed, nn.Linear):
    """An ``nn.Linear`` whose weight is a tensor subclass; ``compute_dtype`` is the dtype that one says it has."""

    scale: torch.Tensor

    def __init__(self, features: tuple[int, int], bias: torch.dtype | None, kind: str, group: int) -> None:
        super().__init__(*features, bias=bias is not None, device="meta", dtype=bias)
        parts = torchao_parts(kind, *features, group)
        shape, dtype = parts.pop("qdata")
        self.weight = nn.Parameter(torch.empty(shape, dtype=dtype, device="meta"), requires_grad=False)
        for name, (shape, dtype) in parts.items():
            self.register_buffer(name, torch.empty(shape, dtype=dtype, device="meta"))
        self.kind = kind
        self.compute_dtype = torch.bfloat16

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 -- the name that nn.Linear has
        """The product; each kind's own ``aten.linear``."""
        rows = input.reshape(-1, self.in_features)
        out = self._product(rows)
        if self.bias is not None:
            out = out + self.bias
        return out.reshape(*input.shape[:-1], self.out_features).to(input.dtype)

    def _product(self, rows: torch.Tensor) -> torch.Tensor:
        shape = (self.in_features, self.out_features)
        if self.kind == "int8wo":
            product = torch.mm(rows, dequantized(self.weight, shape, rows.dtype))
            return product * self.scale.to(product.dtype).flatten()
        if self.kind == "int4wo":  # a kernel of mslk that reads packed values
            return torch.empty((rows.shape[0], self.out_features), dtype=rows.dtype, device=rows.device)
        if self.kind == "float8dq":
            values, scales = rows.to(torch.float8_e4m3fn), rows.abs().amax(-1, keepdim=True).to(torch.float32)
            out = torch.empty((rows.shape[0], self.out_features), dtype=rows.dtype, device=rows.device)
            del values, scales
            return out
        if self.kind == "int8dq":
            scales = rows.abs().amax(-1, keepdim=True).to(torch.float32)
            values = (rows / scales).to(torch.int8)
            sums = torch.empty((rows.shape[0], self.out_features), dtype=torch.int32, device=rows.device)
            del values
            return (sums * scales).to(rows.dtype) * self.scale.flatten()
        # Dequantized in float32, then in the dtype of the activations.
        wide = dequantized(self.weight, shape, torch.float32) * self.scale.flatten()[:1]
        return torch.mm(rows, wide.to(rows.dtype))


def torchao(model: PreTrainedModel, published: Published, tracer: Tracer, *, training: bool) -> Loader:  # noqa: ARG001
    """Every linear layer but the head and those the config lists. Raises CannotSimulateError for an unknown kind."""
    kind = published.torchao_kind
    if not kind:
        raise CannotSimulateError(
            "this torchao config has no dry run: its layout is not known here",
            hint="`inspector memory --scheme stored` weighs its files",
        )

    def make(module: nn.Module) -> nn.Module:
        features = features_of(module)
        bias = model.dtype if getattr(module, "bias", None) is not None else None
        return TorchaoLinear(features, bias, kind, published.group)

    # A list of its own takes the place of transformers' (``get_modules_to_not_convert``).
    replace_each(model, published, make, blocks=False, head=published.kept is not None)
    stacks = ", experts in one parameter left as they are" if fused_experts(model) else ""
    rule = ", its kernel taken to allocate its result" if kind in {"int4wo", "float8dq"} else ""
    tracer.notes.append(f"weights as stored, {published.title}: tensors and products of torchao 0.18{rule}{stacks}")
    return Loader()
