"""A model by the kind of its parts: shares of the parameters, and what a part does in a line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inspector.skeleton import Part, Skeleton
    from inspector.skeleton.identical_layers import Entry

ROLES = {
    "q_proj": "query", "k_proj": "key", "v_proj": "value", "o_proj": "output", "out_proj": "output",
    "gate_proj": "gate", "up_proj": "up", "down_proj": "down", "gate_up_proj": "fused_mlp", "qkv_proj": "fused",
    "query_key_value": "fused", "c_attn": "fused",
}  # fmt: skip
"""What a linear layer of that name does (a key of ``does`` in the texts); others are said by the kind of their part."""


@dataclass(frozen=True, slots=True)
class Share:
    """All of a model's parts of one kind."""

    part: Part
    parameters: int


@dataclass(frozen=True, slots=True)
class Facts:
    """One module: its own name, its role, the shape of its weight as people write it, and its parameters."""

    name: str
    role: str
    shape: str
    parameters: int


def shares(skeleton: Skeleton) -> tuple[Share, ...]:
    """Parameters by the kind of part, the largest first; tied tensors are counted once."""
    found: Counter[Part] = Counter()
    for tensor in skeleton.own_tensors:
        if tensor.is_parameter:
            found[skeleton.module_of(tensor).part] += tensor.numel
    return tuple(Share(part, parameters) for part, parameters in found.most_common())


def described(entry: Entry) -> Facts:
    """What is known of a module of a layer."""
    own = [tensor for tensor in entry.tensors if tensor.is_parameter and tensor.tied_to is None]
    name = entry.module.path.rpartition(".")[2]
    largest = max(own, key=lambda tensor: tensor.numel)
    shape = " \N{MULTIPLICATION SIGN} ".join(f"{side:,}" for side in largest.shape)
    role = ROLES.get(name, entry.module.part)
    return Facts(name, role, shape, sum(tensor.numel for tensor in own))
