"""Which modules and parameters a LoRA config means: PEFT's own matching rules, on a skeleton.

Sources, in peft: ``check_target_module_exists``, ``_maybe_include_all_linear_layers`` and ``_inject_parameters``
(``tuners/tuners_utils.py``), ``get_pattern_key`` (``utils/other.py``), ``_convert_peft_config_moe``
(``utils/transformers_weight_conversion.py``). Tables that PEFT keeps are in ``data/peft.json``.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.skeleton.tasks import PEFT_HEADS, peft_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from inspector.lora.spec import LoraSpec
    from inspector.skeleton import Module, Skeleton, Tensor

PEFT_TABLES = Path(__file__).parent.parent / "data" / "peft.json"
ALL_LINEAR = "all-linear"


@functools.lru_cache(maxsize=1)
def peft_tables() -> dict[str, Any]:
    """PEFT's tables: default targets by model type, and how names of MoE experts became fused parameters."""
    tables: dict[str, Any] = json.loads(PEFT_TABLES.read_text(encoding="utf-8"))
    return tables


def linear_modules(skeleton: Skeleton) -> tuple[Module, ...]:
    """What ``all-linear`` means: every Linear and Conv1D, subclasses too, but for the output head."""
    # By the model's own word, as PEFT asks `get_output_embeddings()`: a head may have any name.
    head = skeleton.facts.output_embeddings
    return tuple(module for module in skeleton.modules if module.base in {"Linear", "Conv1D"} and module.path != head)


def matched_modules(skeleton: Skeleton, spec: LoraSpec) -> tuple[Module, ...]:
    """The modules a config targets, in the model's order. Raises InspectorError for a broken regular expression."""
    matches, excluded = _matcher(skeleton, spec), excluding(spec)
    return tuple(
        module for module in skeleton.modules if module.path and matches(module.path) and not excluded(module.path)
    )


def excluding(spec: LoraSpec) -> Callable[[str], bool]:
    """What says of a path that it is left out: by ``exclude_modules``, or below a module that is saved whole."""
    names = spec.exclude_modules
    expression = _regex(names) if isinstance(names, str) and names else None
    # Not escaped, as PEFT does not (`check_target_module_exists`): a name may be an expression.
    saved = [_regex(rf"(^|.*\.){name}($|\..*)") for name in spec.modules_to_save]

    def excluded(path: str) -> bool:
        if expression is not None and expression.fullmatch(path):
            return True
        if not isinstance(names, str) and (path in names or _ends(path, names)):
            return True
        return any(pattern.match(path) for pattern in saved)

    return excluded


def matched_parameters(skeleton: Skeleton, spec: LoraSpec) -> tuple[Tensor, ...]:
    """The parameters that ``target_parameters`` means: by their full name or an ending of it."""
    names = spec.target_parameters
    return tuple(tensor for tensor in skeleton.parameters if tensor.name in names or _ends(tensor.name, names))


def saved_modules(skeleton: Skeleton, spec: LoraSpec) -> tuple[Module, ...]:
    """The modules ``modules_to_save`` means: by any ending of their path, dots or not, as PEFT does."""
    return (
        tuple(
            module for module in skeleton.modules if module.path and module.path.endswith(tuple(spec.modules_to_save))
        )
        if spec.modules_to_save
        else ()
    )


def with_heads(skeleton: Skeleton, spec: LoraSpec) -> LoraSpec:
    """The config with the heads that PEFT trains whole by its task type among ``modules_to_save``."""
    heads = PEFT_HEADS.get(_task(skeleton, spec), ())
    found = tuple(name for name in heads if any(module.path.endswith(name) for module in skeleton.modules))
    return replace(spec, modules_to_save=(*spec.modules_to_save, *found)) if found else spec


def heads_before(skeleton: Skeleton, spec: LoraSpec) -> LoraSpec:
    """The config by which targets are matched: a sequence classifier's head is left out of them, other heads are not.

    Source: peft/peft_model.py: ``PeftModelForSequenceClassification`` names its heads before adapters are put in,
    ``PeftModelForTokenClassification`` and ``PeftModelForQuestionAnswering`` after.
    """
    return with_heads(skeleton, spec) if _task(skeleton, spec) == "SEQ_CLS" else spec


def _task(skeleton: Skeleton, spec: LoraSpec) -> str:
    return peft_task(skeleton.architecture) if spec.task_type is None else spec.task_type


def rank_of(key: str, spec: LoraSpec) -> int:
    """The rank of a module or parameter: the first ``rank_pattern`` that matches the end of its name, else ``r``."""
    for pattern, rank in spec.rank_pattern:  # the first that matches wins, as in PEFT: their order is the user's
        if matches_pattern(pattern, key):
            return rank
    return spec.r


def matches_pattern(pattern: str, key: str) -> bool:
    """Whether a key of ``rank_pattern`` or ``alpha_pattern`` means a module: by the whole end of its path."""
    return _regex(rf"(.*\.)?({pattern})$").match(key) is not None


def matches_whole(expression: str, name: str) -> bool:
    """Whether an expression for targets means a name that is a whole path. Raises InspectorError for a broken one."""
    return _regex(expression).fullmatch(name) is not None


def converted(skeleton: Skeleton, spec: LoraSpec) -> LoraSpec:
    """A config as PEFT rewrites it for models whose experts transformers 5 fused into parameters.

    Names such as ``gate_proj`` then mean the experts' ``gate_up_proj``, at as many times the rank as it fuses.
    Raises InspectorError when only a part of a fused parameter is named.
    """
    table = peft_tables()["moe"].get(skeleton.facts.model_type)
    if table is None:
        return spec
    names, fused = table["targets"], table["fused"]
    targets = _resolved(skeleton, spec, names)
    if targets is None:
        return spec
    rest, parameters = set(), set(spec.target_parameters)
    found: dict[str, set[str]] = {}
    for target in targets:
        old = next((old for old in names if target == old or target.endswith(f".{old}")), None)
        if old is None:
            rest.add(target)
        else:
            parameters.add(names[old])
            found.setdefault(names[old], set()).add(old)
    ranks, alphas = dict(spec.rank_pattern), dict(spec.alpha_pattern)
    for parameter, needed in fused.items():
        present = found.get(parameter, set())
        if missing := set(needed) - present if present else set():
            raise InspectorError(
                f"{', '.join(sorted(present))} is fused into {parameter}",
                hint=f"target {', '.join(sorted(missing))} too",
            )
        if present and len(needed) > 1:
            ranks[rf".*\.{re.escape(parameter)}"] = spec.r * len(needed)
            alphas[rf".*\.{re.escape(parameter)}"] = spec.alpha * len(needed)
    return replace(
        spec,
        target_modules=tuple(sorted(rest)),  # PEFT has sets here; sorted, the answer is the same each time
        target_parameters=tuple(sorted(parameters)),
        rank_pattern=tuple(ranks.items()),
        alpha_pattern=tuple(alphas.items()),
    )


def _resolved(skeleton: Skeleton, spec: LoraSpec, names: Iterable[str]) -> set[str] | None:
    """Target names with a string resolved to the leaf names it matches; None when it matches nothing."""
    if not isinstance(spec.target_modules, str):
        return set(spec.target_modules)
    if spec.target_modules.lower() == ALL_LINEAR:
        # And the experts' names: before they were fused, they were linear modules, so all-linear meant them.
        return {module.path.rpartition(".")[2] for module in linear_modules(skeleton)} | set(names)
    matches = _matcher(skeleton, spec)
    keys = [module.path for module in skeleton.modules] + [tensor.name for tensor in skeleton.parameters]
    found = {key.rpartition(".")[2] for key in keys if matches(key)}
    holders = {tensor.owner for tensor in skeleton.parameters if skeleton.module_of(tensor).part == "expert"}
    # Experts' old names match no module any more: tried below those that hold the fused ones, as PEFT does.
    found |= {name for name in names if any(matches(f"{holder}.{name}") for holder in holders)}
    return found or None


def _matcher(skeleton: Skeleton, spec: LoraSpec) -> Callable[[str], bool]:
    targets = spec.target_modules
    if isinstance(targets, str):
        if targets.lower() == ALL_LINEAR:
            paths = {module.path for module in linear_modules(skeleton)}
            return lambda key: key in paths
        pattern = _regex(targets)
        return lambda key: pattern.fullmatch(key) is not None
    return lambda key: key in targets or (_ends(key, targets) and _in_layers(key, spec))


def _in_layers(key: str, spec: LoraSpec) -> bool:
    """Whether a path lies in a layer that ``layers_to_transform`` names: by the first number after a name in it."""
    if not spec.layers_to_transform:
        return True
    patterns = [rf"(?:^|.*?\.){pattern}\.(\d+)\." for pattern in spec.layers_pattern] or [r".*?\.[^.]*\.(\d+)\."]
    found = next(filter(None, (_regex(pattern).match(key) for pattern in patterns)), None)
    return found is not None and int(found[1]) in spec.layers_to_transform


def _ends(key: str, names: Iterable[str]) -> bool:
    # Whole parts of a path: q_proj is not my_q_proj.
    return any(key.endswith(f".{name}") for name in names)


@functools.lru_cache(maxsize=256)
def _regex(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise InspectorError(f"{pattern!r} is no regular expression: {error}") from None
