"""What can be targeted in a decoder layer, with the shapes that decide what an adapter takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.lora.matching import linear_modules, peft_tables
from inspector.skeleton import in_tower

if TYPE_CHECKING:
    from inspector.skeleton import Part, Skeleton


@dataclass(frozen=True, slots=True)
class Target:
    """Modules of one name in the decoder layers, such as all 32 ``self_attn.q_proj``.

    ``shapes`` lists (inputs, outputs, how many): a rank r adapter takes r x (inputs + outputs) parameters on each.
    ``is_parameter`` marks fused experts, which are no module: PEFT's ``target_parameters`` names them.
    """

    name: str
    part: Part
    shapes: tuple[tuple[int, int, int], ...]
    is_parameter: bool = False

    @property
    def parameters_per_rank(self) -> int:
        """Adapter parameters for each unit of rank."""
        return sum((inputs + outputs) * count for inputs, outputs, count in self.shapes)

    @property
    def count(self) -> int:
        """How many modules bear the name."""
        return sum(count for _, _, count in self.shapes)


def targets(skeleton: Skeleton) -> tuple[Target, ...]:
    """Linear modules, then fused experts, of the decoder layers by their name inside a layer, in the model's order.

    Names that PEFT takes to mean the fused experts (``gate_proj`` in a mixture of experts) are left out: a module
    that bears one, such as a shared expert's, cannot be targeted by it alone.
    """
    table = peft_tables()["moe"].get(skeleton.facts.model_type, {})
    meant_otherwise = tuple(table.get("targets", ()))
    weights = {tensor.owner: tensor.shape for tensor in skeleton.tensors if tensor.name.endswith(".weight")}
    found: dict[tuple[str, Part], dict[tuple[int, int], int]] = {}
    for module in linear_modules(skeleton):
        if module.layer is None or in_tower(module.layer) or module.path not in weights:
            continue
        if module.path.rpartition(".")[2] in meant_otherwise:
            continue
        rows, columns = weights[module.path][:2]
        shape = (rows, columns) if module.base == "Conv1D" else (columns, rows)
        shapes = found.setdefault((module.path[len(module.layer) + 1 :], module.part), {})
        shapes[shape] = shapes.get(shape, 0) + 1
    modules = tuple(
        Target(name, part, tuple((*shape, count) for shape, count in shapes.items()))
        for (name, part), shapes in found.items()
    )
    return (*modules, *_experts(skeleton))


def _experts(skeleton: Skeleton) -> tuple[Target, ...]:
    """Fused experts of the decoder layers: each expert in a stack of them gets matrices of its own."""
    found: dict[str, dict[tuple[int, int], int]] = {}
    for tensor in skeleton.parameters:
        module = skeleton.module_of(tensor)
        # Three axes are a stack of experts' weights; their biases have two, and a module of one expert is found above.
        if module.part != "expert" or len(tensor.shape) != 3 or module.layer is None:
            continue
        experts, rows, columns = tensor.shape
        shape = (rows, columns) if module.transposed else (columns, rows)
        shapes = found.setdefault(tensor.name[len(module.layer) + 1 :], {})
        shapes[shape] = shapes.get(shape, 0) + experts
    return tuple(
        Target(name, "expert", tuple((*shape, count) for shape, count in shapes.items()), is_parameter=True)
        for name, shapes in found.items()
    )
