"""A model as plain data: its modules, its tensors, and the facts of its config."""

from inspector.skeleton.skeleton import (
    DTYPE_BYTES,
    PIPELINE,
    ConfigFacts,
    Module,
    Part,
    Pinned,
    Skeleton,
    Tensor,
    in_tower,
)

__all__ = ["DTYPE_BYTES", "PIPELINE", "ConfigFacts", "Module", "Part", "Pinned", "Skeleton", "Tensor", "in_tower"]
