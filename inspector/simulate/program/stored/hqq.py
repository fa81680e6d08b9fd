"""HQQ layers as ``HQQLinear`` has them: values and ``meta``, dequantized for every product.

Source: hqq 0.2.8, hqq/core/quantize.py and models/base.py, ``from_quantized``. transformers 5.23 has no operation that
loads packed weights (quantizers/quantizer_hqq.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from inspector.simulate.device.packed_kernels import DequantizedProduct
from inspector.simulate.program.stored.layers import PackedLinear, Parts, features_of, fused_experts, replace_each
from inspector.simulate.program.stored.loader import Loader

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from inspector.precision.published import Published
    from inspector.simulate.tracing.tracer import Tracer


def hqq_parts(inputs: int, outputs: int, bits: int, group: int, dtype: torch.dtype) -> Parts:
    """``W_q``, and the scale and zero of its ``meta`` (axis 1); 3 bits go ten to an int32 (``BitPack``)."""
    groups = max(1, inputs * outputs // (group if group > 0 else inputs))
    size = group if group > 0 else inputs
    rows, stored = (-(-groups // 10), torch.int32) if bits == 3 else (-(-groups // (8 // bits)), torch.uint8)
    return {"W_q": ((rows, size), stored), "scale": ((groups, 1), dtype), "zero": ((groups, 1), dtype)}


class HqqLinear(PackedLinear):
    """An ``HQQLinear`` with its PyTorch backend."""

    values = ("W_q",)
    W_q: torch.Tensor
    scale: torch.Tensor
    zero: torch.Tensor

    def __init__(self, features: tuple[int, int], bias: torch.dtype | None, parts: Parts) -> None:
        super().__init__(features, bias, parts)
        self.compute_dtype = self.scale.dtype

    def whole(self, _dtype: torch.dtype) -> torch.Tensor:
        """The weight, inputs by outputs: unpacked, less the zeros, times the scales (``Quantizer.dequantize``)."""
        groups, size = self.scale.shape[0], self.in_features * self.out_features // self.scale.shape[0]
        values = torch.empty((groups, size), dtype=self.compute_dtype, device=self.W_q.device)
        return ((values - self.zero) * self.scale).reshape(self.out_features, self.in_features).t()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``forward_pytorch_backprop``: nothing is kept for the gradient but what came in."""
        out: torch.Tensor = DequantizedProduct.apply(x, self.whole, None)
        return self.with_bias(out)


def hqq(model: PreTrainedModel, published: Published, tracer: Tracer, *, training: bool) -> Loader:  # noqa: ARG001
    """HQQ in every linear layer that its config does not skip."""

    def make(module: nn.Module) -> nn.Module:
        inputs, outputs = features_of(module)
        bias = model.dtype if getattr(module, "bias", None) is not None else None
        parts = hqq_parts(inputs, outputs, published.bits, published.group, model.dtype)
        return HqqLinear((inputs, outputs), bias, parts)

    replace_each(model, published, make, blocks=False, head=published.kept is not None)
    stacks = ", experts in one parameter left as they are" if fused_experts(model) else ""
    tracer.notes.append(
        f"weights as stored, {published.title}: layers of hqq 0.2 with its PyTorch backend, as its own from_quantized"
        f" loads them{stacks}; transformers 5.23 reports packed HQQ weights as UNEXPECTED and draws new ones"
    )
    return Loader(warms_up=False)
