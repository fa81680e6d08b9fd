"""The kinds of memory a step is made of: one list, used by every report, table and chart."""

from __future__ import annotations

from enum import StrEnum


class MemoryKind(StrEnum):
    """What a live byte is there for. The value is the word shown to people and written to JSON."""

    BASE_WEIGHTS = "base weights"
    REFERENCE = "reference model"
    REWARD = "reward model"
    TEACHER = "teacher"
    ENGINE = "inference engine"
    QUANTIZATION_CONSTANTS = "quantization constants"
    ADAPTERS = "adapters"
    GRADIENTS = "gradients"
    OPTIMIZER_STATE = "optimizer state"
    ACTIVATIONS = "saved activations"
    RECOMPUTATION = "recomputation"
    LOGITS_AND_LOSS = "logits and loss"
    DEQUANTIZED_WEIGHTS = "dequantized weights"
    GATHERED_WEIGHTS = "gathered weights"
    COMMUNICATION = "communication buffers"
    TEMPORARIES = "temporaries"
    WORKSPACE = "workspace"
    BUFFERS = "buffers"
    CACHE = "cache"
    INPUTS = "inputs"

    def __str__(self) -> str:
        return self.value
