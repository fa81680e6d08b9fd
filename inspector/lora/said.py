"""What PEFT refuses and warns of before an adapter trains, from the config and the model's names, in its words.

Sources, in peft: ``inject_adapter`` and ``_check_lora_target_modules_mamba`` (``tuners/tuners_utils.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.errors import InspectorError, closest
from inspector.lora.matching import excluding, matches_pattern, matches_whole, peft_tables, saved_modules
from inspector.lora.token_layers import tied_ends, token_layers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from inspector.lora.spec import LoraSpec
    from inspector.skeleton import Module, Skeleton, Tensor

_MAMBA = {"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"}
_MAMBA_REFUSES = ("conv1d", "out_proj")


def refuse(skeleton: Skeleton, spec: LoraSpec, modules: Sequence[Module], parameters: Sequence[Tensor]) -> None:
    """Raise InspectorError for targets that PEFT refuses for an architecture, and a module to save that is not there.

    PEFT passes over the latter without a word; nothing would be trained for it.
    """
    kind = skeleton.facts.model_type
    holders = [module.path for module in modules] + [tensor.owner for tensor in parameters]
    for path in holders if kind in _MAMBA else ():
        if (leaf := path.rpartition(".")[2]) in _MAMBA_REFUSES:
            raise InspectorError(
                f"module '{leaf}' is incompatible with Mamba-based models (model_type='{kind}'), PEFT says",
                hint=f"remove {' and '.join(_MAMBA_REFUSES)} from target_modules",
            )
    for name in spec.modules_to_save:
        if not any(module.path.endswith(name) for module in skeleton.modules if module.path):
            leaves = dict.fromkeys(module.path.rpartition(".")[2] for module in skeleton.modules if module.path)
            close = closest(name, [leaf for leaf in leaves if not leaf.isdecimal()], most=3)
            raise InspectorError(
                f"{skeleton.model_id} has no module {name!r} to save: PEFT would pass over it without a word",
                hint=f"did you mean {' or '.join(close)}?" if close else "`inspector layers` lists its modules",
            )
    rows = token_layers(skeleton, spec)
    if taken := [path for path in holders if rows.get(path)]:
        raise InspectorError(
            f"PEFT cannot train tokens of {taken[0]}, on which LoRA is put too", hint="leave one of them out"
        )
    both = {name for name, _ in spec.trainable_token_indices} & set(spec.modules_to_save)
    if both:
        raise InspectorError(
            f"{', '.join(sorted(both))} is already marked to be trained fully", hint="modules_to_save or tokens of it"
        )


def warnings_of(
    skeleton: Skeleton, spec: LoraSpec, modules: Sequence[Module], parameters: Sequence[Tensor]
) -> tuple[str, ...]:
    """PEFT's own warnings, and a target or a layer that nothing is of beside others that match."""
    return tuple(_warnings(skeleton, spec, modules, parameters))


def _warnings(
    skeleton: Skeleton, spec: LoraSpec, modules: Sequence[Module], parameters: Sequence[Tensor]
) -> Iterator[str]:
    if _adapts_a_tied_end(skeleton, spec):
        yield (
            "PEFT: a tied layer is part of the adapter, but `ensure_weight_tying` is not set to True: merging it and "
            "other formats than safetensors may get into trouble"
        )
    excluded = excluding(spec)
    if spec.exclude_modules and not any(excluded(module.path) for module in skeleton.modules if module.path):
        yield f"PEFT: exclude_modules={_listed(spec.exclude_modules)} but no modules were excluded"
    elif spec.target_modules and not modules:
        yield f"PEFT: target_modules={_listed(spec.target_modules)} were set but no module was matched"
    elif spec.target_parameters and not parameters:
        yield f"PEFT: target_parameters={_listed(spec.target_parameters)} were set but no parameter was matched"
    for field, pairs in (("rank_pattern", spec.rank_pattern), ("alpha_pattern", spec.alpha_pattern)):
        unmatched = sorted({key for key, _ in pairs if not any(matches_pattern(key, each.path) for each in modules)})
        if unmatched:
            keys = ", ".join(unmatched)
            yield f"PEFT: these {field} keys did not match any targeted module and were ignored: {keys}"
    if nothing := [name for name, count in matched_by_name(spec, modules, parameters) if not count]:
        yield f"matched by nothing, which PEFT does not say: {', '.join(nothing)}"


def _adapts_a_tied_end(skeleton: Skeleton, spec: LoraSpec) -> bool:
    """Whether PEFT warns of ties: by the config's names, not by what they match (``_check_tied_modules``)."""
    ends = peft_tables()["embedding_layer_names"]
    targets = spec.target_modules
    if isinstance(targets, str):
        named = any(matches_whole(targets, end) for end in ends)
    else:
        named = any(name.rpartition(".")[2] in ends for name in targets)
    named = named or any(name.rpartition(".")[2] in ends for name in spec.modules_to_save)
    return named and bool(tied_ends(skeleton))


def matched_by_name(
    spec: LoraSpec, modules: Sequence[Module], parameters: Sequence[Tensor]
) -> tuple[tuple[str, int], ...]:
    """How many of the matched modules and parameters each target names; an expression is one name."""
    names = (spec.target_modules,) if isinstance(spec.target_modules, str) else spec.target_modules
    counts = [(name, sum(_named(module.path, name, spec) for module in modules)) for name in names if name]
    counts += [(name, sum(_is(tensor.name, name) for tensor in parameters)) for name in spec.target_parameters]
    return tuple(counts)


def copied_by_name(skeleton: Skeleton, spec: LoraSpec) -> tuple[tuple[str, int], ...]:
    """How many modules each name of ``modules_to_save`` copies."""
    copied = saved_modules(skeleton, spec)
    return tuple((name, sum(module.path.endswith(name) for module in copied)) for name in spec.modules_to_save)


def _named(path: str, name: str, spec: LoraSpec) -> bool:
    # Of an expression all that matched is its: it was matched by nothing else.
    return isinstance(spec.target_modules, str) or _is(path, name)


def _is(path: str, name: str) -> bool:
    return path == name or path.endswith(f".{name}")


def _listed(names: tuple[str, ...] | str) -> str:
    return names if isinstance(names, str) else ", ".join(sorted(names))
