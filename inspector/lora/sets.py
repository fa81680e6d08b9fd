"""Target sets by the names people use: attention, q+v, mlp, experts, all-linear, and PEFT's default."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.lora.matching import ALL_LINEAR, linear_modules, peft_tables
from inspector.skeleton import in_tower

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inspector.skeleton import Module, Skeleton

SET_NAMES = ("attention", "q+v", "mlp", "experts", ALL_LINEAR, "default")

# Fused projections too (Wqkv, c_attn, ...): where query and value are one tensor with the key, that is the target.
_QUERY_OR_VALUE = re.compile(
    r"^(q|v|query|value|to_q|to_v|q_proj|v_proj|q_a_proj|q_b_proj|kv_b_proj|Wqkv|c_attn)$|qkv|query_key_value|in_proj_qkvz"
)


@dataclass(frozen=True)
class TargetSet:
    """A named choice of targets, in the terms ``LoraConfig`` takes."""

    name: str
    target_modules: tuple[str, ...] | str = ()
    target_parameters: tuple[str, ...] = ()

    @property
    def listed(self) -> tuple[str, ...]:
        """The targets as a list of words, for tables and JSON."""
        modules = (self.target_modules,) if isinstance(self.target_modules, str) else self.target_modules
        return (*modules, *self.target_parameters)


def target_sets(skeleton: Skeleton) -> tuple[TargetSet, ...]:
    """The named sets that this model has, in the order of the tables."""
    sets = (_named(skeleton, name) for name in SET_NAMES)
    return tuple(found for found in sets if found is not None)


def named_set(skeleton: Skeleton, text: str) -> TargetSet:
    """The targets a user writes: a set's name, names joined by commas, or a regular expression, as PEFT takes them.

    Raises InspectorError for a set that this model does not have.
    """
    name = text.strip()
    if name.lower() in SET_NAMES:
        found = _named(skeleton, name.lower())
        if found is None:
            raise InspectorError(f"{skeleton.model_id} has no target set {name!r}", hint=_others(skeleton))
        return found
    # A dot alone makes no expression: it is in paths as well.
    if re.fullmatch(r"[\w.,\s-]+", name):
        names = tuple(dict.fromkeys(part for part in re.split(r"[,\s]+", name) if part))
        return TargetSet("+".join(names), names)
    return TargetSet(name, name)


def _others(skeleton: Skeleton) -> str:
    return f"it has {', '.join(found.name for found in target_sets(skeleton))}"


def _named(skeleton: Skeleton, name: str) -> TargetSet | None:
    if name == ALL_LINEAR:
        return TargetSet(name, ALL_LINEAR) if linear_modules(skeleton) else None
    if name == "default":
        targets = peft_tables()["default_targets"].get(skeleton.facts.model_type)
        return TargetSet(name, targets if isinstance(targets, str) else tuple(targets)) if targets else None
    if name == "experts":
        experts = dict.fromkeys(
            f"{tensor.owner.rpartition('.')[2]}.{tensor.name.rpartition('.')[2]}"
            for tensor in skeleton.parameters
            if len(tensor.shape) == 3 and skeleton.module_of(tensor).part == "expert"
        )
        return TargetSet(name, (), tuple(experts)) if experts else None
    modules = [
        module
        for module in linear_modules(skeleton)
        # Towers have attention too, and mostly under the same names; people adapt the language model.
        if module.layer and not in_tower(module.layer) and _SETS[name](module)
    ]
    return TargetSet(name, _shortest_names(skeleton, modules)) if modules else None


_SETS: dict[str, Callable[[Module], bool]] = {
    "attention": lambda module: module.part == "attention",
    "q+v": lambda module: module.part == "attention" and bool(_QUERY_OR_VALUE.search(module.path.rpartition(".")[2])),
    "mlp": lambda module: module.part == "mlp",
}


def _shortest_names(skeleton: Skeleton, modules: Sequence[Module]) -> tuple[str, ...] | str:
    """Names that mean these modules and no other linear module of a layer: the shortest endings, else a regex."""
    taken = _taken(skeleton, modules)
    names: dict[str, None] = {}
    for module in modules:
        endings = _endings(module.path[len(module.layer or "") + 1 :])
        # A number alone (`adapters.0`) is also the name of layers, which are no linear modules.
        name = next((name for name in endings if not name[:1].isdecimal() and name not in taken), None)
        if name is None:
            return _expression(modules, taken)
        names[name] = None
    return tuple(names)


def _taken(skeleton: Skeleton, modules: Sequence[Module]) -> set[str]:
    """The endings that mean others too: linear ones of a layer, and what PEFT would stop at wherever it is.

    Gemma 4's towers wrap each linear module in one of the language model's name, which LoRA cannot adapt.
    """
    wanted = {module.path for module in modules}
    last = {path.rpartition(".")[2] for path in wanted}
    linear = {module.path for module in linear_modules(skeleton)}
    wrappers = {path.rpartition(".")[0] for path in linear if path.rpartition(".")[0].rpartition(".")[2] in last}
    others = {
        module.path
        for module in linear_modules(skeleton)
        if module.layer and not in_tower(module.layer) and module.path not in wanted
    }
    return {ending for path in (others | wrappers) - wanted for ending in _endings(path)}


def _expression(modules: Sequence[Module], taken: set[str]) -> str:
    """A regular expression of whole paths below a numbered layer, as no ending tells them from what is not wanted."""
    paths = dict.fromkeys(module.path[len(module.layer or "") + 1 :] for module in modules)
    inner = "|".join(map(re.escape, paths))
    # Another stack's layers may have such a path as well: then these are named whole.
    shared = any(re.search(rf"\.\d+\.({inner})$", f".{ending}") for ending in taken)
    if not shared:
        return rf".*\.\d+\.({inner})"
    stacks = dict.fromkeys(re.escape((module.layer or "").rpartition(".")[0]) for module in modules)
    named = "|".join(stacks)
    return rf"{named if len(stacks) == 1 else f'({named})'}\.\d+\.({inner})"


def _endings(path: str) -> list[str]:
    """What a path ends in, by whole parts, the shortest first."""
    parts = path.split(".")
    return [".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1)]
