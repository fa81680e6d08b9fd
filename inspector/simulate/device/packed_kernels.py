"""Which kernels multiply packed weights on a card, and what they allocate: GPTQModel's for GPTQ and AWQ.

Source: GPTQModel 7.7.0 (the first that PEFT 0.21 takes is 7.0): gptqmodel/utils/importer.py, ``select_quant_linear``
(kernels by the priority in their ``SUPPORTS_FORMATS``), and the files of gptqmodel/nn_modules/qlinear named below.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.simulate.device.questions import Chip

Kernel = Literal["Marlin", "ExLlamaV2", "GEMM", "Triton", "Torch", "AutoGPTQ Triton", "AutoGPTQ ExLlama"]

BACKENDS: dict[str, Kernel] = {
    "marlin": "Marlin", "gptq_marlin": "Marlin", "awq_marlin": "Marlin", "exllama_v2": "ExLlamaV2",
    "gptq_exllama_v2": "ExLlamaV2", "awq_exllama_v2": "ExLlamaV2", "triton": "Triton", "gptq_triton": "Triton",
    "torch": "Torch", "gptq_torch": "Torch", "awq_torch": "Torch", "gemm": "GEMM", "awq_gemm": "GEMM",
    "autogptq_triton": "AutoGPTQ Triton", "autogptq_exllama": "AutoGPTQ ExLlama",
}  # fmt: skip
"""Kernels that a config's ``backend`` pins (utils/backend.py), and AutoGPTQ's, which are no longer loaded: its
``qlinear_tritonv2`` dequantizes for the forward and anew for the backward (AutoGPTQ 0.7, triton_utils/dequant.py), its
first ExLlama is what transformers took by itself (``GPTQConfig.post_init``, ``ExllamaVersion.ONE``).
"""

LEARNS_NOT = {"Marlin": "MarlinLinear", "ExLlamaV2": "ExllamaV2Linear"}
"""Kernels that refuse ``train()`` (``SUPPORTS_TRAINING``), with the class that says so; of AWQ it begins with Awq."""

MARLIN_GROUPS = (-1, 32, 64, 128)

EXLLAMA_ROWS = 50
"""More rows than this are multiplied by the whole weight in float16 (``MAX_Q_GEMM_ROWS``, gptqmodel_ext/exllamav2)."""

EXLLAMA1_ROWS = 8
"""The same of its first version (AutoGPTQ 0.7, modeling/_utils.py, ``matmul_recons_thd``)."""

EXLLAMA1_LENGTH = 2048
"""Rows of its second buffer, where columns were reordered (``EXLLAMA_DEFAULT_MAX_INPUT_LENGTH``)."""

AWQ_GEMM_ROWS = 1024
"""More rows than this are multiplied by the whole weight (gemm_awq.py, ``FULL_DEQUANT_MATMUL_THRESHOLD``)."""

_SPLIT_K = 8
"""Parts that AWQ's product is summed from (gemm_awq.py, ``split_k_iters``)."""

_library = torch.library.Library("inspector", "FRAGMENT")
_library.define("dequantize_packed(Tensor packed, SymInt[] shape, ScalarType dtype) -> Tensor")


def _dequantize_packed(packed: torch.Tensor, shape: list[int], dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device=packed.device)


_library.impl("dequantize_packed", _dequantize_packed, "Meta")


def dequantized(packed: torch.Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """The whole weight, as a kernel that reads packed values writes it: nothing else is allocated."""
    whole: torch.Tensor = torch.ops.inspector.dequantize_packed(packed, shape, dtype)
    return whole


def gptq_kernel(chip: Chip, bits: int, group: int, symmetric: bool, half: bool, training: bool, /) -> Kernel:
    """The kernel of GPTQ layers: ``auto``, or ``auto_trainable`` where adapters train on them.

    Hopper may take Machete and later chips Swordfish in the place of Marlin: they multiply packed weights as it does.
    ``half`` is whether activations are float16. Sources: marlin.py, exllamav2.py, tritonv2.py, torch.py.
    """
    # On 7.5 in float16 alone.
    able = chip.capability >= (8, 0) or (chip.capability == (7, 5) and half)
    if able and not training and bits in {4, 8} and symmetric and group in MARLIN_GROUPS:
        return "Marlin"
    if not training and bits == 4:
        return "ExLlamaV2"
    return "Triton" if bits in {2, 4, 8} and chip.capability >= (7, 0) else "Torch"


def awq_kernel(chip: Chip, bits: int, group: int, training: bool, /) -> Kernel:
    """The kernel of AWQ layers. Sources: marlin_awq.py, exllamav2_awq.py, gemm_awq.py, torch_awq.py."""
    if not training and bits in {4, 8} and group in MARLIN_GROUPS and chip.capability >= (8, 0):
        return "Marlin"
    if bits == 4:
        # ExLlamaV2 does not train.
        return "GEMM" if training else "ExLlamaV2"
    return "Torch"


def multiprocessors(chip: Chip, /) -> int:
    """How many there are: Marlin's scratch memory has a part for each."""
    return chip.multiprocessors


def marlin(x: torch.Tensor, outputs: int, processors: int, *, reordered: bool) -> torch.Tensor:
    """A product with packed weights.

    The result is made first, then float32 sums for each multiprocessor, and where columns were reordered a copy of the
    activations. Source: gptqmodel_ext/marlin/gptq_marlin.cu, ``gptq_marlin_gemm``, and marlin_scratch.cuh.
    """
    rows = x.reshape(-1, x.shape[-1])
    out = torch.empty((rows.shape[0], outputs), dtype=x.dtype, device=x.device)
    # 256 is ``max_thread_n``; tiles have 64 rows at the most.
    tile = min(-(-rows.shape[0] // 16) * 16, 64)
    sums = torch.empty((processors * tile * 256,), dtype=torch.float32, device=x.device)
    copy = torch.empty_like(rows) if reordered else None
    del sums, copy
    return out.reshape(*x.shape[:-1], outputs)


def awq_split_product(x: torch.Tensor, outputs: int) -> torch.Tensor:
    """AWQ's product in parts that are then added up, in float32 (awq_ext, ``gemm_forward_cuda``; fp32_accum)."""
    rows = x.reshape(-1, x.shape[-1])
    parts = torch.empty((_SPLIT_K, rows.shape[0], outputs), dtype=torch.float32, device=x.device)
    return parts.sum(0).to(x.dtype)


class NoGradient(torch.autograd.Function):
    """A product by an operator that was given no gradient: its result asks for one, and hands nothing on.

    Source: torch/csrc/autograd/autograd_not_implemented_fallback.cpp, whose default is to warn. The operators of
    gptqmodel_ext/marlin and gptqmodel_ext/exllamav2 are registered for CUDA alone.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, product: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:  # noqa: ARG004
        """The product."""
        return product(x)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[None, None]:  # noqa: ARG004
        """Nothing."""
        warnings.warn(
            "an autograd kernel was not registered to the Autograd key(s) but we are trying to backprop through it. "
            "This may lead to silently incorrect behavior.",
            stacklevel=2,
        )
        return None, None


class DequantizedProduct(torch.autograd.Function):
    """A product with a weight that is dequantized for it, and anew for the gradient of what came in.

    ``whole`` gives the weight, inputs by outputs; ``product`` another product for the forward pass.
    """

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, whole: Callable[[torch.dtype], torch.Tensor], product: Callable[..., Any] | None
    ) -> torch.Tensor:
        """The product."""
        ctx.whole = whole
        if product is not None:
            out: torch.Tensor = product(x)
            return out
        return torch.matmul(x, whole(x.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, None, None]:
        """The gradient of what came in."""
        grad = grads[0]
        if not ctx.needs_input_grad[0]:
            return None, None, None
        return torch.matmul(grad, ctx.whole(grad.dtype).t()), None, None
