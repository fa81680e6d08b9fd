"""GPTQ and AWQ layers as GPTQModel has them, which transformers 5 and PEFT load such checkpoints with.

Shapes: qlinear/__init__.py of GPTQModel 7.7, ``GPTQQuantLinear`` and ``AWQuantLinear``; a test holds them equal to
AutoGPTQ's and AutoAWQ's. What becomes of them after loading: ``post_init`` of the kernel's own file.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.device.packed_kernels import (
    AWQ_GEMM_ROWS,
    EXLLAMA1_ROWS,
    EXLLAMA_ROWS,
    LEARNS_NOT,
    DequantizedProduct,
    Kernel,
    NoGradient,
    awq_split_product,
    dequantized,
    marlin,
)
from inspector.simulate.program.stored.layers import PackedLinear, Parts

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

EXLLAMAS = ("ExLlamaV2", "AutoGPTQ ExLlama")

_MARLIN_WORKSPACE = 128
"""Integers at the least: utils/marlin.py, ``marlin_make_workspace_new``."""


def gptq_parts(inputs: int, outputs: int, bits: int, group: int, dtype: torch.dtype) -> Parts:
    """``qweight``, ``qzeros``, ``scales`` and ``g_idx``; of 3 bits, 32 values go to 3 integers."""
    groups = 1 if group == -1 else math.ceil(inputs / group)
    return {
        "qweight": ((inputs * bits // 32, outputs), torch.int32),
        "qzeros": ((groups, outputs * bits // 32), torch.int32),
        "scales": ((groups, outputs), dtype),
        "g_idx": ((inputs,), torch.int32),
    }


def awq_parts(inputs: int, outputs: int, bits: int, group: int, dtype: torch.dtype) -> Parts:
    """``qweight``, ``qzeros`` and ``scales``."""
    groups = 1 if group == -1 else math.ceil(inputs / group)
    return {
        "qweight": ((inputs, outputs * bits // 32), torch.int32),
        "qzeros": ((groups, outputs * bits // 32), torch.int32),
        "scales": ((groups, outputs), dtype),
    }


class GptqModelLinear(PackedLinear, ABC):
    """A layer of GPTQModel. ``compute_dtype`` is what PEFT asks of it."""

    prefix = ""
    name = ""
    on_train: Callable[[], None] | None = None

    values = ("qweight",)
    qweight: torch.Tensor
    qzeros: torch.Tensor
    scales: torch.Tensor
    workspace: torch.Tensor | None
    sort_indices: torch.Tensor | None
    scratch: torch.Tensor | None

    def __init__(
        self,
        features: tuple[int, int],
        bias: torch.dtype | None,
        parts: Parts,
        kernel: Kernel,
        processors: int,
        *,
        reordered: bool,
    ) -> None:
        super().__init__(features, bias, parts)
        self.kernel = kernel
        self.processors = processors
        self.reordered = reordered
        self.compute_dtype = self.scales.dtype
        for name in ("workspace", "sort_indices", "scratch"):
            self.register_buffer(name, None, persistent=False)

    @property
    def refuses_training(self) -> str:
        """The library's class whose ``train()`` raises; "" where it does not (``BaseQuantLinear.train``)."""
        return f"{self.prefix}{LEARNS_NOT[self.kernel]}" if self.kernel in LEARNS_NOT else ""

    def train(self, mode: bool = True) -> Self:
        """As any module; in a script ``on_train`` is asked first, which raises where the kernel has no gradient."""
        if mode and not self.training and self.on_train is not None:
            self.on_train()
        return super().train(mode)

    def scratch_bytes(self, batch: int) -> int:
        """ExLlamaV2's: a whole weight in float16, and room for 2,048 tokens of so many sequences in float32.

        Of the first ExLlama the weight alone (AutoGPTQ 0.7, modeling/_utils.py, ``autogptq_post_init``).
        """
        if self.kernel == "AutoGPTQ ExLlama":
            return self.in_features * self.out_features * 2
        whole = self.in_features * self.out_features * 2 + 128
        return whole + self.out_features * 2048 * batch * 4 + 128

    def prepare(self, scratch: torch.Tensor | None) -> None:
        """``post_init``: the parts laid out for the kernel."""
        if self.kernel in EXLLAMAS:
            self.scratch = scratch
        elif self.kernel == "Marlin":
            size = max(self.processors, _MARLIN_WORKSPACE)
            self.workspace = torch.zeros((size,), dtype=torch.int32, device="meta")
            self._order()
            self.qweight = torch.empty_like(self.qweight)
            self.scales = torch.empty_like(self.scales)

    @abstractmethod
    def _order(self) -> None:
        """What Marlin does with order and zero points."""

    def whole(self, dtype: torch.dtype) -> torch.Tensor:
        """The weight, inputs by outputs."""
        return dequantized(self.qweight, (self.in_features, self.out_features), dtype)

    @staticmethod
    def _without_gradient(product: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = NoGradient.apply(x, product)
        return out

    def _marlin(self, x: torch.Tensor, *, reordered: bool) -> torch.Tensor:
        return self.with_bias(marlin(x, self.out_features, self.processors, reordered=reordered))

    def _exllama(self, x: torch.Tensor) -> torch.Tensor:
        """In float16; many rows by the weight in the scratch memory."""
        assert self.scratch is not None
        half = x.to(torch.float16)
        if half.shape[0] <= (EXLLAMA_ROWS if self.kernel == "ExLlamaV2" else EXLLAMA1_ROWS):
            out = torch.empty((half.shape[0], self.out_features), dtype=torch.float16, device=x.device)
        else:
            whole = self.scratch.narrow(0, 0, self.in_features * self.out_features)
            out = half @ whole.view(self.in_features, self.out_features)
        return out.to(x.dtype)


class GptqLinear(GptqModelLinear):
    """GPTQ: Marlin, ExLlamaV2, or a dequantized weight (Triton, Torch)."""

    g_idx: torch.Tensor

    def _order(self) -> None:
        if self.reordered:
            order = torch.argsort(self.g_idx).to(torch.int32)
            self.g_idx = self.g_idx[order]
            self.sort_indices = order
        else:
            self.g_idx = torch.empty((0,), dtype=torch.int32, device="meta")
        # Symmetric weights need no zero points.
        self.qzeros = torch.empty((0,), dtype=torch.int32, device="meta")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The product; in training Triton's layers use Torch's, whose weight autograd keeps (tritonv2.py)."""
        shape = (*x.shape[:-1], self.out_features)
        if self.kernel == "Marlin":
            return self._without_gradient(lambda x: self._marlin(x, reordered=self.reordered), x)
        rows = x.reshape(-1, self.in_features)
        if self.kernel in EXLLAMAS:
            return self._without_gradient(lambda x: self.with_bias(self._exllama(x)), rows).reshape(shape)
        if self.kernel == "AutoGPTQ Triton" or (self.kernel == "Triton" and not self.training):
            out: torch.Tensor = DequantizedProduct.apply(rows, self.whole, None)
            return self.with_bias(out.reshape(shape)).to(x.dtype)
        weight = self.whole(rows.dtype)
        product = torch.matmul(rows, weight).reshape(shape)
        del weight
        return self.with_bias(product)


class AwqLinear(GptqModelLinear):
    """AWQ: Marlin, ExLlamaV2, or AWQ's own GEMM."""

    prefix = "Awq"

    def _order(self) -> None:
        self.qzeros = torch.empty_like(self.qzeros)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The product."""
        shape = (*x.shape[:-1], self.out_features)
        if self.kernel == "Marlin":
            return self._without_gradient(lambda x: self._marlin(x, reordered=False), x)
        if self.kernel == "ExLlamaV2":
            rows = x.reshape(-1, self.in_features)
            return self._without_gradient(lambda x: self.with_bias(self._exllama(x)), rows).reshape(shape)
        # Other dtypes are multiplied in float16.
        half = x if x.dtype in {torch.float16, torch.bfloat16} else x.to(torch.float16)
        rows = half.reshape(-1, self.in_features)
        few: Callable[[torch.Tensor], Any] | None = None
        if self.kernel == "GEMM" and rows.shape[0] <= AWQ_GEMM_ROWS:
            few = self._few
        out: torch.Tensor = DequantizedProduct.apply(rows, self.whole, few)
        out = out + self.bias if self.bias is not None else out
        return out.reshape(shape).to(x.dtype)

    def _few(self, rows: torch.Tensor) -> torch.Tensor:
        return awq_split_product(rows, self.out_features)
