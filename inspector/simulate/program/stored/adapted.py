"""LoRA on packed layers: PEFT's own adapter classes, for the layers that stand for those of the libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.program.stored.gptq import AwqLinear, GptqLinear
from inspector.simulate.program.stored.hqq import HqqLinear
from inspector.simulate.program.stored.layers import Packed, PackedLinear
from inspector.simulate.program.stored.torchao import TorchaoLinear

if TYPE_CHECKING:
    from torch import nn


def packed_names(model: nn.Module) -> tuple[str, ...]:
    """The names of packed layers that are no ``nn.Linear``, as a user would have to name them; none of plain models."""
    packed = (path for path, module in model.named_modules() if isinstance(module, PackedLinear))
    return tuple(sorted({path.rpartition(".")[2] for path in packed}))


def adapters_of_packed_layers(model: nn.Module) -> dict[type[nn.Module], Any]:
    """Which adapter class PEFT gives to which of the model's packed layers; empty where there are none.

    Sources: peft/tuners/lora/gptq.py and awq.py, ``dispatch_gptq`` and ``dispatch_awq``.
    """
    found = {type(module) for module in model.modules() if isinstance(module, Packed)}
    if not found:
        return {}
    from peft.tuners.lora.awq import AwqLoraLinear
    from peft.tuners.lora.gptq import GPTQLoraLinear
    from peft.tuners.lora.layer import Linear

    class HqqLoraLinear(GPTQLoraLinear):  # type: ignore[misc]
        """peft/tuners/lora/hqq.py, which is there with hqq alone: nothing is cast under autocast."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.base_layer(x)
            dtype = result.dtype
            for name in self.active_adapters:
                down, up = self.lora_A[name], self.lora_B[name]
                if not torch.is_autocast_enabled():
                    x = self._cast_input_dtype(x, down.weight.dtype)
                result = result + up(down(self.lora_dropout[name](x))) * self.scaling[name]
            return result if torch.is_autocast_enabled() else result.to(dtype)

    known: dict[type[nn.Module], Any] = {
        GptqLinear: GPTQLoraLinear, AwqLinear: AwqLoraLinear, HqqLinear: HqqLoraLinear, TorchaoLinear: Linear,
    }  # fmt: skip
    return {layer: adapter for layer, adapter in known.items() if layer in found}
