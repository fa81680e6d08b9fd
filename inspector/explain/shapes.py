"""What a model's own tensors would ask for: single weights, fused ones, experts, and all of a layer as one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from inspector.explain.candidate import WIDTHS, Candidate, formula, in_bytes
from inspector.skeleton.skeleton import in_tower

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.explain.operators import Family
    from inspector.explain.sizes import Request
    from inspector.skeleton import Skeleton, Tensor

RANKS = (2, 4, 8, 16, 32, 64)
"""Cards that a flat parameter may be spread over: the usual sizes of one to eight machines."""
_FUSED = (
    ("fused QKV weight", ({"q_proj", "k_proj", "v_proj"}, {"query", "key", "value"}, {"q", "k", "v"})),
    ("fused gate and up projection", ({"gate_proj", "up_proj"}, {"w1", "w3"}, {"wi_0", "wi_1"})),
)
"""Layers that engines, and other versions of transformers, keep in one tensor."""
_PARTS = {
    "embedding": "embedding", "attention": "attention projection", "mlp": "MLP weight", "expert": "experts' weights",
    "norm": "norm", "head": "output head", "other": "weight",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape among a model's tensors. ``sums`` is how its elements add up, where they are no product."""

    what: str
    dims: tuple[int, ...]
    where: str
    count: int
    family: Family = "weight"
    elements: int = 0
    sums: str = ""
    assumes: tuple[str, ...] = ()
    fused: bool = False

    @property
    def numel(self) -> int:
        """Its numbers."""
        return self.elements or prod(self.dims)


def weights(skeleton: Skeleton, request: Request) -> Iterator[Candidate]:
    """Every tensor of the model that would ask for that, in each width of numbers."""
    for shape in (*_single(skeleton), *_fused(skeleton), *_layers(skeleton)):
        for width, words in WIDTHS.items():
            nbytes = in_bytes(shape.numel, width)
            # All of a layer in 8 or 4 bits is never one tensor: what is quantized is kept weight by weight.
            if request.holds(nbytes) and (shape.family == "weight" or width >= 2):
                yield Candidate(
                    shape.family, f"{shape.what} {words}", formula(*shape.dims, width=width, added=shape.sums),
                    nbytes, "the model's shapes", width, shape.where, shape.count, shape.assumes, fused=shape.fused,
                )  # fmt: skip


def spread(skeleton: Skeleton, request: Request) -> Iterator[Candidate]:
    """The whole model as one flat tensor, a share of it on each of several cards."""
    whole = skeleton.num_parameters
    for ranks in (1, *RANKS):
        share = -(-whole // ranks)
        for width in (4, 2):
            if request.holds(share * width):
                what = "all parameters in one" if ranks == 1 else f"one of {ranks} shares of all parameters"
                yield Candidate(
                    "flat", f"{what}, {WIDTHS[width]}", formula(share, width=width), share * width,
                    "the model's shapes" if ranks == 1 else "solved from the size", width,
                    assumes=() if ranks == 1 else (f"{ranks} ranks, as with ZeRO or FSDP",),
                )  # fmt: skip


def _single(skeleton: Skeleton) -> Iterator[Shape]:
    found: dict[tuple[str, tuple[int, ...]], list[str]] = {}
    for tensor in skeleton.parameters:
        found.setdefault((_label(skeleton, tensor), tensor.shape), []).append(_where(skeleton, tensor))
    for (label, shape), names in found.items():
        places = Counter(names)
        yield Shape(label, shape, ", ".join(list(places)[:3]), len(names))
        if label == "experts' weights" and len(shape) == 3:
            # Older transformers, and most engines, keep each expert by itself, gate and up apart or in one.
            one = shape[1:]
            yield Shape("one expert's weight", one, next(iter(places)), len(names) * shape[0])
            if "gate_up" in names[0]:
                axis = max(range(2), key=lambda at: one[at] != skeleton.facts.hidden_size)
                half = tuple(size // 2 if at == axis else size for at, size in enumerate(one))
                yield Shape("one expert's gate or up projection", half, next(iter(places)), len(names) * shape[0] * 2)


def _label(skeleton: Skeleton, tensor: Tensor) -> str:
    module = skeleton.module_of(tensor)
    label = _PARTS[module.part]
    facts = skeleton.facts
    if tensor.owner == facts.input_embeddings and any(other.tied_to == tensor.name for other in skeleton.tensors):
        label = "embedding (tied, so the output head too)"
    elif module.part in {"embedding", "head"} and tensor.owner in {facts.input_embeddings, facts.output_embeddings}:
        label = "embedding or output head" if _alike(skeleton) else label
    return f"the tower's {label}" if in_tower(tensor.name) else label


def _alike(skeleton: Skeleton) -> bool:
    ends = {skeleton.facts.input_embeddings, skeleton.facts.output_embeddings}
    return len({tensor.shape for tensor in skeleton.parameters if tensor.owner in ends and len(tensor.shape) == 2}) == 1


def _where(skeleton: Skeleton, tensor: Tensor) -> str:
    layer = skeleton.module_of(tensor).layer
    if not layer:
        return tensor.name
    stack, _, number = layer.rpartition(".")
    return tensor.name.replace(f"{stack}.{number}.", f"{stack}.*.", 1)


def _fused(skeleton: Skeleton) -> Iterator[Shape]:
    """What other code keeps in one: rows of several Linears of one parent, one above the other."""
    children: dict[str, dict[str, Tensor]] = {}
    for tensor in skeleton.parameters:
        owner = skeleton.module_of(tensor)
        if owner.base == "Linear" and tensor.name.endswith(".weight") and len(tensor.shape) == 2:
            parent, _, leaf = tensor.owner.rpartition(".")
            children.setdefault(parent, {})[leaf] = tensor
    found: dict[tuple[str, tuple[int, ...]], list[Tensor]] = {}
    for held in children.values():
        for what, sets in _FUSED:
            for names in sets:
                parts = [held[name] for name in held if name in names]
                if len(parts) == len(names) and len({part.shape[1] for part in parts}) == 1:
                    rows = sum(part.shape[0] for part in parts)
                    found.setdefault((what, (rows, parts[0].shape[1])), []).append(parts[0])
    for (what, shape), tensors in found.items():
        where = _where(skeleton, tensors[0]).rpartition(".")[0].rpartition(".")[0]
        how = "gate and up" if "gate" in what else "queries, keys and values"
        yield Shape(
            what, shape, where, len(tensors), assumes=(f"{how} in one tensor, as engines keep them",), fused=True
        )


def _layers(skeleton: Skeleton) -> Iterator[Shape]:
    """All of one repeated layer as one flat parameter, as FSDP gathers it; and what is in no layer."""
    sums: dict[str, list[int]] = {}
    outside = 0
    for tensor in skeleton.parameters:
        layer = skeleton.module_of(tensor).layer
        if layer:
            sums.setdefault(layer, []).append(tensor.numel)
        else:
            outside += tensor.numel
    kinds: dict[tuple[str, int], list[str]] = {}
    for layer, sizes in sums.items():
        kinds.setdefault((skeleton.by_path[layer].cls, sum(sizes)), []).append(layer)
    for (cls, numel), layers in kinds.items():
        counted = Counter(sums[layers[0]])
        terms = [f"{times} x {size}" if times > 1 else str(size) for size, times in counted.items()]
        told = f"({' + '.join(terms)})"
        assumes = ("one layer a unit of FSDP (its auto-wrap policy), gathered before it runs",)
        where = f"{layers[0].rpartition('.')[0]}.*"
        yield Shape(f"flat parameter of one {cls}, gathered", (), where, len(layers), "flat", numel, told, assumes)
    if outside and sums:
        assumes = ("embedding, head and what is in no layer as one unit of FSDP",)
        yield Shape("flat parameter of what is outside the layers", (), "", 1, "flat", outside, str(outside), assumes)
