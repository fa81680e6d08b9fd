"""A rank's weights as an engine allocates them: fused matrices one by one, in the order that its model is built in.

Sources: vLLM model_executor/layers/linear.py (``QKVParallelLinear``, ``MergedColumnParallelLinear``: one tensor for
several projections), fused_moe/layer.py (one for all experts). What an allocator adds to them is in `resident`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from inspector.serving.sharding import share
from inspector.skeleton.skeleton import in_tower

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inspector.precision import Scheme
    from inspector.serving.sharding import Ranks
    from inspector.skeleton import Skeleton, Tensor

_TOGETHER = (
    (re.compile(r"(^|[.])[qkv]_proj$"), "qkv_proj"),
    (re.compile(r"(^|[.])(gate_proj|up_proj|w1|w3)$"), "gate_up_proj"),
    (re.compile(r"(^|[.])(query|key|value)$"), "query_key_value"),
    (re.compile(r"(^|[.])in_proj_(qkv|z)$"), "in_proj_qkvz"),
    (re.compile(r"(^|[.])in_proj_[ab]$"), "in_proj_ba"),
)
"""Projections that lie in one tensor, by the name of that tensor."""


EXACT_ROUTERS = frozenset({"glm4_moe"})
"""Models whose routers vLLM keeps in float32 (model_executor/models/glm4_moe.py, ``Glm4MoE``)."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One allocation of a rank: the kind of part it is of, and its bytes."""

    part: str
    nbytes: int


def laid_out(
    skeleton: Skeleton, scheme: Scheme, ranks: Ranks, stages_of: Callable[[Tensor], Iterator[int]],
    padding: Fraction = Fraction(1),
) -> list[list[Kept]]:  # fmt: skip
    """The allocations of each pipeline stage's heaviest rank, in order.

    Args:
        skeleton: the model.
        scheme: how its weights are stored, made for this model.
        ranks: how it is spread.
        stages_of: the stages that hold a tensor.
        padding: of experts' matrices, by the kernel that multiplies them.
    """
    stages: list[dict[tuple[str, str, str], Fraction | int]] = [{} for _ in range(ranks.stages)]
    for tensor in skeleton.own_tensors:
        if not tensor.is_parameter:
            continue  # an engine makes its own tables
        module = skeleton.module_of(tensor)
        part = "vision" if in_tower(tensor.name) else "experts" if module.part == "expert" else module.part
        there: Fraction | int = share(skeleton, module, tensor, ranks)
        there = there if part != "experts" else there * padding
        there = there.numerator if there.denominator == 1 else there  # whole numbers are several times as fast
        if (
            skeleton.facts.model_type in EXACT_ROUTERS
            and module.path.endswith(".gate")
            and tensor.name.endswith("weight")
        ):
            there *= 2  # of 16 bits
        owner, last = tensor.owner, tensor.name.rpartition(".")[2]
        for piece in scheme.pieces(module, tensor):
            role = last if piece.role == "weight" else f"{last}.{piece.role}"
            place = (fused(owner), role, part)
            size = there * piece.nbytes
            for stage in stages_of(tensor):
                stages[stage][place] = stages[stage].get(place, 0) + size
    return [[Kept(part, int(size)) for (_, _, part), size in stage.items() if size] for stage in stages]


@lru_cache(maxsize=16_384)
def fused(owner: str) -> str:
    """The module of the engine that a module of transformers goes into, itself for most."""
    for pattern, name in _TOGETHER:
        if pattern.search(owner):
            return pattern.sub(rf"\g<1>{name}", owner)
    return owner
