"""Adapters merged into the weights below them, layer by layer, and taken out again, as PEFT does it.

Source: peft/tuners/lora/layer.py and peft/tuners/lora/bnb.py, 0.21, ``merge`` and ``unmerge``. Plain layers run PEFT's
own code; what bitsandbytes has packed goes to the host and is packed anew as it comes back, in the same calls here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.memory_kinds import MemoryKind
from inspector.simulate.device.bitsandbytes import quantization_constants
from inspector.simulate.program.stored.bitsandbytes import quantized_by_bitsandbytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peft.tuners.lora import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch import nn

    from inspector.simulate.tracing.tracer import Tracer


def merge(model: nn.Module, tracer: Tracer) -> None:
    """``merge_adapter``: every adapter of a PEFT model into its layer."""
    for name, layer in _adapted(model):
        if _packed(layer):
            _through_the_host(name, layer, tracer)
        else:
            layer.merge()


def unmerge(model: nn.Module, tracer: Tracer) -> None:
    """``unmerge_adapter``: what `merge` put in is taken out again."""
    for name, layer in _adapted(model):
        if _packed(layer):
            _through_the_host(name, layer, tracer)
        else:
            layer.unmerge()


def _adapted(model: nn.Module) -> Iterator[tuple[str, Any]]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    # Those within modules_to_save and wrapped embeddings are of the same class, and merge as they do there.
    return ((name, layer) for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer))


def _packed(layer: BaseTunerLayer) -> bool:
    from peft.utils.integrations import get_bnb_param_type

    weight = getattr(layer.get_base_layer(), "weight", None)
    return weight is not None and bool(get_bnb_param_type(weight))


def _through_the_host(name: str, layer: LoraLayer, tracer: Tracer) -> None:
    """Dequantized, added to, sent to the host, and quantized as it comes back: all of it there until the last."""
    from peft.utils.integrations import dequantize_bnb_weight

    base = layer.get_base_layer()
    weight = base.weight
    state = getattr(base, "state", None) if getattr(weight, "SCB", None) is not None else weight.quant_state
    whole = dequantize_bnb_weight(weight, state=state)
    for adapter in layer.active_adapters:
        added = layer.get_delta_weight(adapter)
        summed = whole.to(added.dtype) + added if getattr(weight, "SCB", None) is not None else whole + added
        made = quantized_by_bitsandbytes(weight, torch.empty(summed.shape, dtype=summed.dtype, device=summed.device))
        base.weight = made
        tracer.label(made, MemoryKind.BASE_WEIGHTS, name)
        for constant in quantization_constants(made):
            tracer.label(constant, MemoryKind.QUANTIZATION_CONSTANTS, name)
