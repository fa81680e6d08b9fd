"""Every tensor of an adapter, by the name PEFT saves it under, with its shape: made from the skeleton alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.lora.beside import beside
from inspector.lora.matching import (
    converted,
    heads_before,
    matched_modules,
    matched_parameters,
    rank_of,
    saved_modules,
    with_heads,
)
from inspector.lora.said import copied_by_name, matched_by_name, refuse, warnings_of
from inspector.lora.tensor import PREFIX, AdapterTensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inspector.lora.spec import LoraSpec
    from inspector.skeleton import Module, Skeleton, Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Adapter:
    """What a config makes of a model.

    ``matched`` says how many modules each target and each module to save names; ``warnings`` are PEFT's, and ours.
    """

    tensors: tuple[AdapterTensor, ...]
    matched: tuple[tuple[str, int], ...]
    warnings: tuple[str, ...]
    base_dtype: str


def adapter_tensors(skeleton: Skeleton, spec: LoraSpec) -> tuple[AdapterTensor, ...]:
    """The tensors of an adapter.

    Raises InspectorError when the targets match nothing (naming what could be targeted), match something LoRA cannot
    adapt, or combine options PEFT refuses.
    """
    return adapter(skeleton, spec).tensors


def adapter(skeleton: Skeleton, spec: LoraSpec) -> Adapter:
    """The adapter of a config: its tensors, what each name matched, and what PEFT warns of. Errors as above."""
    if not spec.base_dtype:
        own = skeleton.facts.dtype
        spec = replace(spec, base_dtype=own if own in {"float16", "bfloat16", "float32", "float64"} else "bfloat16")
    asked, spec = spec, converted(skeleton, spec)  # both: what is refused is told in the words that were asked
    before, spec = heads_before(skeleton, spec), with_heads(skeleton, spec)
    modules = matched_modules(skeleton, before)
    parameters = matched_parameters(skeleton, spec)
    if not modules and not parameters:
        raise _nothing_matches(skeleton, asked)
    refuse(skeleton, spec, modules, parameters)
    _check_copied(skeleton, spec, modules)
    # As they were asked for: PEFT's own conversion sorts them, and adds its own.
    place = {name: number for number, name in enumerate((*asked.target_modules, *asked.target_parameters))}
    matched = sorted(matched_by_name(spec, modules, parameters), key=lambda each: place.get(each[0], len(place)))
    warnings = warnings_of(skeleton, before, modules, parameters)
    if set(spec.rank_pattern) - set(asked.rank_pattern) and warnings:
        warnings += ("a pattern's key of fused experts is PEFT's own: it warns of it, and applies it to them",)
    return Adapter(
        _tensors(skeleton, asked, spec, modules, parameters),
        (*matched, *copied_by_name(skeleton, spec)),
        warnings,
        spec.base_dtype,
    )


def _tensors(
    skeleton: Skeleton, asked: LoraSpec, spec: LoraSpec, modules: Sequence[Module], parameters: Sequence[Tensor]
) -> tuple[AdapterTensor, ...]:
    weights = {tensor.name: tensor for tensor in skeleton.tensors}
    tensors: list[AdapterTensor] = []
    for module in modules:
        tensors += _module_tensors(module, weights, spec)
    for owner in dict.fromkeys(tensor.owner for tensor in parameters):
        tensors += _parameter_tensors(skeleton, [tensor for tensor in parameters if tensor.owner == owner], spec)
    tensors += beside(skeleton, asked, spec, {module.path for module in modules})
    return tuple(tensors)


def _check_copied(skeleton: Skeleton, spec: LoraSpec, modules: tuple[Module, ...]) -> None:
    """Refuse what PEFT refuses: a module to train whole that is adapted too (``check_module``, peft/utils/other.py)."""
    targeted = {module.path for module in modules}
    for copied in saved_modules(skeleton, spec):
        if any(path == copied.path or path.startswith(f"{copied.path}.") for path in targeted):
            raise InspectorError(
                f"PEFT cannot train {copied.path} whole where LoRA is put on it too",
                hint=f"name it: --modules-to-save {copied.path.rpartition('.')[2]}",
            )


def _module_tensors(module: Module, weights: dict[str, Tensor], spec: LoraSpec) -> Iterator[AdapterTensor]:
    """A and B of one module: r x in and out x r, and DoRA's magnitude, one number an output."""
    weight = weights.get(f"{module.path}.weight")
    if weight is None or not module.base:
        raise InspectorError(
            f"LoRA cannot adapt {module.path}, a {module.cls}", hint="target Linear, Conv1D or Embedding modules"
        )
    path, dtype = f"{PREFIX}{module.path}", spec.adapter_dtype
    a, b, magnitude = _matrices(module, weight.shape, rank_of(module.path, spec))
    # An embedding's two matrices are bare parameters, not modules (peft/tuners/lora/layer.py), so without ".weight".
    suffixes = ("embedding_A", "embedding_B") if module.base == "Embedding" else ("A.weight", "B.weight")
    yield AdapterTensor(f"{path}.lora_{suffixes[0]}", a, dtype, module.path)
    yield AdapterTensor(f"{path}.lora_{suffixes[1]}", b, dtype, module.path)
    if spec.use_dora:
        yield AdapterTensor(f"{path}.lora_magnitude_vector", magnitude, dtype, module.path)


def _matrices(module: Module, weight: Shape, r: int) -> tuple[Shape, Shape, Shape]:
    """Shapes of A, B and DoRA's magnitude for a weight. A convolution's A keeps its kernel, its B is 1 x 1."""
    # A Linear stores (out, in); Conv1D the other way round, and an embedding has its inputs, the tokens, as rows.
    if module.base == "Linear":
        return (r, weight[1]), (weight[0], r), (weight[0],)
    if module.base in {"Conv1D", "Embedding"}:
        return (r, weight[0]), (weight[1], r), (weight[1],)
    # A weight's second axis is inputs of one group, so from the shape alone only depth-wise ones can be told.
    if weight[1] == 1 and weight[0] > 1:
        raise InspectorError(f"{module.path} is a grouped convolution, which Inspector cannot adapt")
    ones = tuple(1 for _ in weight[2:])
    return (r, *weight[1:]), (weight[0], r, *ones), (1, weight[0], *ones)


def _parameter_tensors(skeleton: Skeleton, targets: list[Tensor], spec: LoraSpec) -> Iterator[AdapterTensor]:
    """A and B of parameters without a module: r rows for every expert. Several on one module nest in each other."""
    if spec.use_dora:
        raise InspectorError("PEFT cannot use DoRA on target_parameters", hint="leave out --use-dora")
    for depth, tensor in enumerate(reversed(targets)):  # the first one is wrapped first, so it ends up innermost
        if len(tensor.shape) not in {2, 3}:
            raise InspectorError(f"{tensor.name} has {len(tensor.shape)} dimensions", hint="PEFT takes 2 or 3")
        experts = tensor.shape[0] if len(tensor.shape) == 3 else 1
        inputs, outputs = _features(skeleton, tensor)
        r = rank_of(tensor.name, spec) * experts  # each expert has r rows of its own in one matrix
        path = f"{PREFIX}{tensor.owner}{'.base_layer' * depth}"
        yield AdapterTensor(f"{path}.lora_A.weight", (r, inputs), spec.adapter_dtype, tensor.owner)
        yield AdapterTensor(f"{path}.lora_B.weight", (outputs, r), spec.adapter_dtype, tensor.owner)


def _features(skeleton: Skeleton, tensor: Tensor) -> tuple[int, int]:
    """Inputs and outputs of a parameter: (experts, out, in), or (experts, in, out) where the model transposes them."""
    rows, columns = tensor.shape[-2:]
    transposed = len(tensor.shape) == 3 and skeleton.module_of(tensor).transposed
    return (rows, columns) if transposed else (columns, rows)


def _nothing_matches(skeleton: Skeleton, spec: LoraSpec) -> InspectorError:
    asked = spec.target_modules if isinstance(spec.target_modules, str) else ", ".join(spec.target_modules)
    if not asked:
        what = f"no parameter of {skeleton.model_id} matches {', '.join(spec.target_parameters)!r}"
    elif taken := _taken_away_by(skeleton, spec):
        return InspectorError(f"of {skeleton.model_id} {asked!r} matches modules, and {taken} leaves none of them")
    else:
        what = f"no module of {skeleton.model_id} matches {asked!r}"
    leaves = dict.fromkeys(
        module.path.rpartition(".")[2] for module in skeleton.modules if module.base in {"Linear", "Conv1D"}
    )
    experts = dict.fromkeys(
        f"{tensor.owner.rpartition('.')[2]}.{tensor.name.rpartition('.')[2]}"
        for tensor in skeleton.parameters
        if len(tensor.shape) == 3 and skeleton.module_of(tensor).part == "expert"
    )
    hint = f"modules to target: {', '.join(leaves)}"
    if experts:
        hint += f"; parameters (--target-parameters): {', '.join(experts)}"
    return InspectorError(what, hint=hint)


def _taken_away_by(skeleton: Skeleton, spec: LoraSpec) -> str:
    """The field without which something would match; "" where there is no such field."""
    # A pattern of layers says nothing without their numbers.
    without = {
        "modules_to_save": replace(spec, modules_to_save=()),
        "exclude_modules": replace(spec, exclude_modules=()),
        "layers_pattern": replace(spec, layers_pattern=()),
        "layers_to_transform": replace(spec, layers_to_transform=(), layers_pattern=()),
    }
    for field, other in without.items():
        said = getattr(spec, field)
        if said and matched_modules(skeleton, heads_before(skeleton, converted(skeleton, other))):
            numbers = (
                f" (its layers are 0 to {skeleton.facts.num_layers - 1})" if field == "layers_to_transform" else ""
            )
            return f"{field} {said if isinstance(said, str) else ', '.join(map(str, said))}{numbers}"
    return ""
