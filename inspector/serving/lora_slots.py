"""The room that an engine keeps for LoRA adapters before any is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.serving.sharding import share
from inspector.serving.weights import Part

if TYPE_CHECKING:
    from inspector.serving.sharding import Ranks
    from inspector.skeleton import Skeleton


def lora_bytes(skeleton: Skeleton, ranks: Ranks, slots: int, rank: int) -> Part:
    """Stacked ``lora_a`` and ``lora_b`` of every linear layer, in 16 bits.

    Source: vLLM lora/layers/base_linear.py (``create_lora_weights``): of a column layer A is whole and B is shared out,
    of a row layer the other way round.
    """
    total = 0
    for tensor in skeleton.own_tensors:
        module = skeleton.module_of(tensor)
        if module.layer is None or module.base != "Linear" or not tensor.name.endswith("weight"):
            continue
        rows, columns = tensor.shape
        part = share(skeleton, module, tensor, ranks)
        total += int(slots * rank * (columns + rows * part) * 2)
    return Part("LoRA slots", total // ranks.stages)
