"""MXFP4 experts of gpt-oss: transformers' own module with a forward of ours in the place of its Triton kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from inspector.errors import CannotSimulateError
from inspector.simulate.device.mxfp4 import (
    BLOCK,
    gated,
    has_mxfp4,
    laid_out_for_hopper,
    routing,
    scattered,
    swizzles_values,
)
from inspector.simulate.program.arrival import as_it_is
from inspector.simulate.program.stored.layers import Packed, put_in_place
from inspector.simulate.program.stored.loader import Loader

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from inspector.precision.published import Published
    from inspector.simulate.device.questions import Device
    from inspector.simulate.tracing.tracer import Tracer

_BLOCKS_AT_ONCE = 32768 * 1024
"""``rows_per_chunk`` of ``_convert_moe_packed_tensors``."""


class Mxfp4Mlp(Packed, nn.Module):
    """Router and experts as ``Mxfp4GptOssMLP`` has them: two values in a byte, a byte of scale for each 32.

    Source: transformers integrations/mxfp4.py, ``Mxfp4GptOssExperts``; the scales, which the kernels keep in a
    ``PrecisionConfig``, are buffers here.
    """

    def __init__(self, router: Any, config: Any, device: Device) -> None:
        super().__init__()
        from transformers.integrations.mxfp4 import Mxfp4GptOssExperts

        self.router = router
        self.top_k: int = router.top_k
        self.device = device
        with torch.device("meta"):
            self.experts = Mxfp4GptOssExperts(config)
        for name in ("gate_up_proj", "down_proj"):
            packed = getattr(self.experts, name)
            scales = (*packed.shape[:2], packed.shape[2] * 2 // BLOCK)
            self.register_buffer(f"{name}_scales", torch.empty(scales, dtype=torch.uint8, device="meta"))

    def forward(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Two products of the chosen experts; the second adds up each token's (``forward_routed``)."""
        experts: Any = self.experts
        router: Any = self.router
        rows = hidden_states.reshape(-1, experts.hidden_size)
        logits = nn.functional.linear(rows, router.weight, router.bias)
        routes = routing(logits, self.top_k)
        bias = experts.gate_up_proj_bias.to(torch.float32)
        inner = gated(self.device, rows, routes, 2 * experts.intermediate_size)
        bias = experts.down_proj_bias.to(torch.float32)
        out = scattered(self.device, inner, routes, experts.hidden_size, self.top_k)
        del bias, inner, routes
        return out.reshape(hidden_states.shape), logits


def mxfp4(model: PreTrainedModel, published: Published, tracer: Tracer, *, training: bool) -> Loader:
    """The experts' MLPs replaced as ``replace_with_mxfp4_linear`` does. Raises CannotSimulateError for other models."""
    device = tracer.kernels.device
    if training or device is None or not device.ask(has_mxfp4):
        return dequantized_mxfp4(model, published, tracer)
    for path, module in _packed(model, published):
        put_in_place(model, path, Mxfp4Mlp(module.router, model.config, device))
    tracer.notes.append(
        f"weights as stored, {published.title}: transformers' Mxfp4GptOssExperts with the hub's gpt-oss-triton-kernels"
        " (version 1), whose temporaries are from their source"
    )
    return Loader(arriving=_arriving_on_hopper if device.ask(swizzles_values) else as_it_is)


def _packed(model: PreTrainedModel, published: Published) -> list[tuple[str, Any]]:
    """The MLPs whose experts are stored so. Raises CannotSimulateError for other models than gpt-oss.

    Whether they are kept or dequantized: both look for its names, and for stacks that are transposed as its are.
    """
    from transformers.models.gpt_oss.modeling_gpt_oss import GptOssMLP

    found = [
        (path, module)
        for path, module in model.named_modules()
        if isinstance(module, GptOssMLP) and not published.leaves(f"{path}.experts")
    ]
    if not found:
        raise CannotSimulateError(
            f"transformers loads MXFP4 for gpt-oss alone, not for this {type(model).__name__}: it reports the packed"
            " weights as UNEXPECTED and its own as MISSING, newly initialized",
            hint="`inspector memory --scheme stored` weighs its files",
        )
    return found


def _arriving_on_hopper(name: str, old: torch.Tensor) -> Any:
    """``Mxfp4Deserialize``: blocks that have arrived are laid out for the kernel."""
    arrived = as_it_is(name, old)
    if old.dtype != torch.uint8 or old.dim() != 3:
        return arrived
    return torch.nn.Parameter(laid_out_for_hopper(arrived.data), requires_grad=False)


def dequantized_mxfp4(model: PreTrainedModel, published: Published, tracer: Tracer) -> Loader:
    """``Mxfp4Config(dequantize=True)``: blocks and scales arrive, and plain experts are made of them.

    Source: integrations/mxfp4.py, ``Mxfp4Dequantize``.
    """
    _packed(model, published)
    said = f"stored as {published.title}, loaded with dequantize=True: plain weights in {model.dtype}"
    tracer.notes.append(said.replace("torch.", ""))

    def arriving(name: str, old: torch.Tensor) -> Any:
        if not (".experts." in name and old.dim() == 3):
            return as_it_is(name, old)
        return torch.nn.Parameter(_dequantize(old), requires_grad=old.requires_grad)

    return Loader(arriving=arriving)


def _dequantize(old: torch.Tensor) -> torch.Tensor:
    """``_convert_moe_packed_tensors``: so many blocks at a time, by a table of values, then the stack transposed."""
    blocks = old.numel() // BLOCK
    values = torch.empty((blocks, BLOCK // 2), dtype=torch.uint8, device=old.device)
    scales = torch.empty((blocks, 1), dtype=torch.uint8, device=old.device)
    exponents = scales.to(torch.int32) - 127
    out = torch.empty((blocks, BLOCK), dtype=old.dtype, device=old.device)
    chosen = (values[:_BLOCKS_AT_ONCE] & 0x0F).to(torch.int32)
    looked_up = torch.empty(chosen.shape, dtype=old.dtype, device=old.device)
    del values, scales, exponents, chosen, looked_up
    return out.view(old.shape[0], old.shape[2], old.shape[1]).transpose(1, 2).contiguous()
