"""LoRA: what a target set and a rank cost in parameters, bytes and file size, counted as PEFT counts."""

from inspector.lora.adapter import adapter_tensors
from inspector.lora.report import DEFAULT_RANKS, LoraReport, LoraRow, lora
from inspector.lora.sets import TargetSet, named_set, target_sets
from inspector.lora.spec import LoraSpec
from inspector.lora.tensor import AdapterTensor

__all__ = [
    "DEFAULT_RANKS",
    "AdapterTensor",
    "LoraReport",
    "LoraRow",
    "LoraSpec",
    "TargetSet",
    "adapter_tensors",
    "lora",
    "named_set",
    "target_sets",
]
