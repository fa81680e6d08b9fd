"""MXFP4 experts of gpt-oss: transformers' own module with a forward of ours in the place of its Triton kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from inspector.errors import CannotSimulateError
from inspector.simulate.device.fp8 import has_mxfp4
from inspector.simulate.program.arrival import as_it_is
from inspector.simulate.program.stored.layers import Packed, put_in_place
from inspector.simulate.program.stored.loader import Loader

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from inspector.precision.published import Published
    from inspector.simulate.tracing.tracer import Tracer

_BLOCK = 32
"""Values that share a scale (OCP Microscaling Formats, MXFP4)."""
_BLOCKS_AT_ONCE = 32768 * 1024
"""``rows_per_chunk`` of ``_convert_moe_packed_tensors``."""


class Mxfp4Mlp(Packed, nn.Module):
    """Router and experts as ``Mxfp4GptOssMLP`` has them: two values in a byte, a byte of scale for each 32.

    Source: transformers integrations/mxfp4.py, ``Mxfp4GptOssExperts``; the scales, which the kernels keep in a
    ``PrecisionConfig``, are buffers here.
    """

    def __init__(self, router: Any, config: Any) -> None:
        super().__init__()
        from transformers.integrations.mxfp4 import Mxfp4GptOssExperts

        self.router = router
        self.top_k: int = router.top_k
        with torch.device("meta"):
            self.experts = Mxfp4GptOssExperts(config)
        for name in ("gate_up_proj", "down_proj"):
            packed = getattr(self.experts, name)
            scales = (*packed.shape[:2], packed.shape[2] * 2 // _BLOCK)
            self.register_buffer(f"{name}_scales", torch.empty(scales, dtype=torch.uint8, device="meta"))

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Two products of the chosen experts; the second adds up each token's.

        Source: ``forward_routed``; the kernels (``matmul_ogs``) allocate their results, the routing's integers are few.
        """
        experts: Any = self.experts
        router: Any = self.router
        rows = hidden_states.reshape(-1, experts.hidden_size)
        logits = nn.functional.linear(rows, router.weight, router.bias)
        routes = rows.shape[0] * self.top_k
        routing = [torch.empty((routes,), dtype=dtype, device=rows.device) for dtype in _ROUTING]
        inner = torch.empty((routes, experts.intermediate_size), dtype=rows.dtype, device=rows.device)
        each = torch.empty((routes, experts.hidden_size), dtype=rows.dtype, device=rows.device)
        out = each.reshape(rows.shape[0], self.top_k, -1).sum(1)
        del routing, inner, each
        return out.reshape(hidden_states.shape), logits


_ROUTING = (torch.bfloat16, torch.int32, torch.int32, torch.int32)
"""Weights of the routes, their experts, and where they come from and go to."""


def mxfp4(model: PreTrainedModel, published: Published, tracer: Tracer, *, training: bool) -> Loader:
    """The experts' MLPs replaced as ``replace_with_mxfp4_linear`` does. Raises CannotSimulateError for other models."""
    device = tracer.kernels.device
    if training or (device is not None and not device.ask(has_mxfp4)):
        return dequantized_mxfp4(model, published, tracer)
    from transformers.models.gpt_oss.modeling_gpt_oss import GptOssMLP

    found = [
        (path, module)
        for path, module in model.named_modules()
        if isinstance(module, GptOssMLP) and not published.leaves(f"{path}.experts")
    ]
    if not found:
        raise CannotSimulateError(f"transformers keeps MXFP4 for gpt-oss alone, not for this {type(model).__name__}")
    for path, module in found:
        put_in_place(model, path, Mxfp4Mlp(module.router, model.config))
    tracer.notes.append(
        f"weights as stored, {published.title}: transformers' Mxfp4GptOssExperts, kernels of the hub,"
        " which are taken to allocate their results"
    )
    return Loader()


def dequantized_mxfp4(model: PreTrainedModel, published: Published, tracer: Tracer) -> Loader:
    """``Mxfp4Config(dequantize=True)``: blocks and scales arrive, and plain experts are made of them.

    Source: integrations/mxfp4.py, ``Mxfp4Dequantize``.
    """
    said = f"stored as {published.title}, loaded with dequantize=True: plain weights in {model.dtype}"
    tracer.notes.append(said.replace("torch.", ""))

    def arriving(name: str, old: torch.Tensor) -> Any:
        if not (".experts." in name and old.dim() == 3):
            return as_it_is(name, old)
        return torch.nn.Parameter(_dequantize(old), requires_grad=old.requires_grad)

    return Loader(arriving=arriving)


def _dequantize(old: torch.Tensor) -> torch.Tensor:
    """``_convert_moe_packed_tensors``: so many blocks at a time, by a table of values, then the stack transposed."""
    blocks = old.numel() // _BLOCK
    values = torch.empty((blocks, _BLOCK // 2), dtype=torch.uint8, device=old.device)
    scales = torch.empty((blocks, 1), dtype=torch.uint8, device=old.device)
    exponents = scales.to(torch.int32) - 127
    out = torch.empty((blocks, _BLOCK), dtype=old.dtype, device=old.device)
    chosen = (values[:_BLOCKS_AT_ONCE] & 0x0F).to(torch.int32)
    looked_up = torch.empty(chosen.shape, dtype=old.dtype, device=old.device)
    del values, scales, exponents, chosen, looked_up
    return out.view(old.shape[0], old.shape[2], old.shape[1]).transpose(1, 2).contiguous()
