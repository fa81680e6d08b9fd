"""LoRA on packed layers: PEFT's own adapter classes, for the layers that stand for those of the libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.simulate.program.stored.gptq import AwqLinear, GptqLinear
from inspector.simulate.program.stored.layers import PackedLinear

if TYPE_CHECKING:
    from torch import nn


def adapters_of_packed_layers(model: nn.Module) -> dict[type[nn.Module], Any]:
    """Which adapter class PEFT gives to which of the model's packed layers; empty where there are none.

    Sources: peft/tuners/lora/gptq.py and awq.py, ``dispatch_gptq`` and ``dispatch_awq``.
    """
    found = {type(module) for module in model.modules() if isinstance(module, PackedLinear)}
    if not found:
        return {}
    from peft.tuners.lora.awq import AwqLoraLinear
    from peft.tuners.lora.gptq import GPTQLoraLinear

    known: dict[type[nn.Module], Any] = {GptqLinear: GPTQLoraLinear, AwqLinear: AwqLoraLinear}
    return {layer: adapter for layer, adapter in known.items() if layer in found}
