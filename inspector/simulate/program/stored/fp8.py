"""Fine-grained FP8 with transformers' own layers, or dequantized on loading where the card has no such units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.quantized_base import put_layers
from inspector.errors import CannotSimulateError
from inspector.simulate.device.fp8 import experts_at_once, has_deepgemm, has_fp8
from inspector.simulate.program.arrival import as_it_is
from inspector.simulate.program.stored.layers import fused_experts
from inspector.simulate.program.stored.loader import Loader

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from inspector.precision.published import Published
    from inspector.simulate.tracing.tracer import Tracer


def fp8(model: PreTrainedModel, published: Published, tracer: Tracer, *, training: bool) -> Loader:  # noqa: ARG001
    """``replace_with_fp8_linear`` on the empty model. Source: transformers quantizers/quantizer_finegrained_fp8.py."""
    device = tracer.kernels.device
    if device is not None and not device.ask(has_fp8):
        tracer.notes.append("FP8 wants compute capability 8.9: on this card transformers dequantizes the weights")
        return dequantized_fp8(model, published, tracer)
    if str(published.raw.get("activation_scheme")).lower() == "static" and fused_experts(model):
        # integrations/finegrained_fp8.py, ``fp8_grouped_mm_experts_forward`` and ``fp8_batched_mm_experts_forward``.
        raise CannotSimulateError(
            "FP8 experts whose activation_scheme is 'static' do not run by transformers' usual products, grouped_mm and"
            " batched_mm (NotImplementedError), on any card",
            hint="--scheme none (and --method lora) dequantizes them on loading; its eager experts have no dry run",
        )
    from transformers.quantizers import AutoHfQuantizer

    # A config passed in has the last word on it (``get_loading_attributes``), and is asked for what is stored.
    quantizer = AutoHfQuantizer.from_config({**published.raw, "dequantize": False}, pre_quantized=True)
    put_layers(model, quantizer)
    # Frozen from the first: adapters train on them, and they are not trained.
    model.requires_grad_(False)
    layers = "FP8Linear and FP8Experts" if fused_experts(model) else "FP8Linear"
    tracer.notes.append(
        f"weights as stored, {published.title}: transformers' {layers} with the hub's finegrained-fp8 kernels (version"
        " 4), whose temporaries are from their source; Triton tunes them with 256 MiB at the first product of each size"
    )
    if device is not None and device.ask(has_deepgemm):
        tracer.notes.append(
            "with a CUDA toolkit on this card transformers takes DeepGEMM for FP8Linear: up to 7 bytes more for each"
            " value that goes into a layer, while it is multiplied"
        )
    return Loader(finish=lambda: quantizer.postprocess_model(model) and None)


def dequantized_in_parts(model: PreTrainedModel) -> bool:
    """Whether gradients go through experts that are dequantized in parts: how many rows each part has is data."""
    stacks = (tensor for _, module in fused_experts(model) for tensor in module.parameters(recurse=False))
    fp8 = (stack for stack in stacks if stack.dim() == 3 and stack.dtype == torch.float8_e4m3fn)
    return any(experts_at_once(stack, model.dtype) < stack.shape[0] for stack in fp8)


def dequantized_fp8(model: PreTrainedModel, published: Published, tracer: Tracer) -> Loader:
    """``FineGrainedFP8Config(dequantize=True)``: values and scales arrive, and a plain weight is made of them."""
    from torch import nn
    from transformers.quantizers import AutoHfQuantizer
    from transformers.quantizers.quantizers_utils import should_convert_module

    quantizer: Any = AutoHfQuantizer.from_config({**published.raw, "dequantize": True}, pre_quantized=True)
    put_layers(model, quantizer)
    kept = quantizer.modules_to_not_convert
    stored = {
        name
        for path, module in model.named_modules()
        if should_convert_module(path, kept)
        for name in (
            f"{path}.{leaf}"
            for leaf, tensor in module.named_parameters(recurse=False)
            if (type(module) is nn.Linear and leaf == "weight") or (path.endswith(".experts") and tensor.dim() == 3)
        )
    }
    tracer.notes.append(f"stored as {published.title}, loaded with dequantize=True: plain weights in {_word(model)}")

    def arriving(name: str, old: torch.Tensor) -> Any:
        if name not in stored:
            return as_it_is(name, old)
        return torch.nn.Parameter(_dequantize(old, published.blocks), requires_grad=old.requires_grad)

    return Loader(arriving=arriving)


def _word(model: PreTrainedModel) -> str:
    return str(model.dtype).removeprefix("torch.")


def _dequantize(old: torch.Tensor, blocks: tuple[int, ...]) -> torch.Tensor:
    """``Fp8Dequantize._dequantize_one``: in float32, and the product of values and scales beside it."""
    rows, columns = blocks or old.shape[-2:]
    *stack, height, width = old.shape
    values = torch.empty(old.shape, dtype=torch.float8_e4m3fn, device=old.device)
    scales = torch.empty((*stack, -(-height // rows), -(-width // columns)), dtype=torch.float32, device=old.device)
    wide = values.to(torch.float32)
    product = torch.empty_like(wide)
    del scales
    return product.to(old.dtype)
