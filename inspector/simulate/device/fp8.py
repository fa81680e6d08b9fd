"""FP8 products as transformers asks for them, without the kernel, which comes from the hub and runs on GPUs alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.simulate.device.questions import Chip

_PLACE = "transformers.integrations.finegrained_fp8"


def has_fp8(chip: Chip, /) -> bool:
    """Units for FP8. Source: transformers quantizers/quantizer_finegrained_fp8.py, ``validate_environment``."""
    return chip.capability >= (8, 9)


def has_mxfp4(chip: Chip, /) -> bool:
    """Whether transformers keeps the format. Source: quantizers/quantizer_mxfp4.py, ``validate_environment``."""
    return chip.capability >= (7, 5)


def fp8_products() -> dict[str, Any]:
    """For `inspector.patched.patched`: the Triton kernels, which quantize activations and write a result.

    DeepGEMM, which Hopper takes where its package is installed, is left out. Sources: ``finegrained_fp8_linear`` and
    ``_load_finegrained_fp8_kernel``; kernels-community/finegrained-fp8, matmul.py, what its functions allocate. Those
    of experts are taken to allocate their results.
    """
    from transformers.integrations.finegrained_fp8 import FineGrainedFP8

    def product(x: torch.Tensor, weight: torch.Tensor, _scales: object, block_size: Sequence[int] | None = None,
                output_dtype: torch.dtype | None = None, **_: object) -> torch.Tensor:  # fmt: skip
        # By blocks, activations are quantized inside; with one scale for the weight, before, by rows.
        if block_size is None or tuple(block_size) == tuple(weight.shape):
            values = torch.empty(x.shape, dtype=torch.float8_e4m3fn, device=x.device)
            rows = torch.empty(x.shape[:-1], dtype=torch.float32, device=x.device)
            out = _result(x, weight, output_dtype)
            del values, rows
            return out
        return _result(x, weight, output_dtype)

    def _result(x: torch.Tensor, weight: torch.Tensor, output_dtype: torch.dtype | None) -> torch.Tensor:
        return torch.empty((*x.shape[:-1], weight.shape[-2]), dtype=output_dtype or x.dtype, device=x.device)

    def of_experts(x: torch.Tensor, weight: torch.Tensor, _scales: object, **_: object) -> torch.Tensor:
        return torch.empty((x.shape[0], weight.shape[-2]), dtype=x.dtype, device=x.device)

    kernels = FineGrainedFP8(matmul=product, batched_matmul=of_experts, grouped_matmul=of_experts)
    return {f"{_PLACE}.load_finegrained_fp8_kernel": lambda: kernels, f"{_PLACE}.is_deepgemm_loadable": lambda: False}
