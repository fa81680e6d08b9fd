"""A saved LoRA adapter against its own config: what no base model is needed for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.lenses.adapter_against_base import EMPTY, GATHER, PREFIX, Finding, effect, listed, rank_axis
from inspector.lora.matching import matched_modules, matches_pattern, peft_tables
from inspector.lora.saved_config import unfit, unknown_fields
from inspector.lora.spec import LoraSpec
from inspector.skeleton import ConfigFacts, Module, Skeleton
from inspector.skeleton.patterns import compiled, endless
from inspector.sources.adapter_files import WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inspector.checkpoint import FileTensor
    from inspector.sources.adapter_files import AdapterFiles

_PART = re.compile(r"\.lora_(?:embedding_)?(A|B|magnitude_vector)(?:\.|$)")


def against_config(files: AdapterFiles) -> tuple[Finding, ...]:
    """What PEFT would answer on any base that has the modules of the file, and on one that has those of the config."""
    return tuple(_findings(files))


def file_name(files: AdapterFiles) -> tuple[Finding, ...]:
    """What is to be said of a file that was named itself and that PEFT would not open."""
    name = files.stored.files[0] if files.stored.files else ""
    if not files.by_file or name == WEIGHTS:
        return ()
    return (Finding("warning", f"PEFT opens a folder's {WEIGHTS}, not {name}", "give it that name"),)


def _findings(files: AdapterFiles) -> Iterator[Finding]:
    if files.config is None:
        yield Finding("error", "no adapter_config.json lies beside the file: PEFT finds no adapter there", _made(files))
        return
    config, tensors = files.config, files.stored.tensors
    fields = unknown_fields(config)
    if fields is None:
        said = config.get("peft_type")
        what = f"names the method {str(said)[:40]!r}, which" if said else "names no method (peft_type), without which"
        yield Finding("error", f"the config {what} {_peft()} cannot load", "mend adapter_config.json, or a newer PEFT")
    elif fields:
        yield Finding(
            "warning",
            f"PEFT warns of fields that {_peft()} has not, and leaves them out: {', '.join(fields[:8])}",
            f"load it with the PEFT that saved it{_version(config)}",
        )
    if config.get("peft_type") != "LORA":
        return
    owners = {
        tensor.name: tensor.name[: found.start()]
        for tensor in tensors
        if tensor.name.startswith(PREFIX) and (found := _PART.search(tensor.name))
    }
    targeted = targeted_paths(config, {owner.removeprefix(PREFIX) for owner in owners.values()})
    if targeted is None:
        return  # what the config means a base alone can tell, or PEFT
    taken = [tensor for tensor in tensors if owners.get(tensor.name, "").removeprefix(PREFIX) in targeted]
    if empty := [tensor.name for tensor in taken if not tensor.numel]:
        yield Finding("error", f"PEFT stops with size mismatch: {listed(empty)} are {EMPTY}", GATHER, len(empty))
    yield from _ranks(config, taken)
    yield from _pairs(config, taken)
    yield from _names(config, tensors, targeted)


def targeted_paths(config: Mapping[str, object], paths: set[str]) -> set[str] | None:
    """Those of some paths that a config means, by PEFT's own rules; None where they are not to be told without a base.

    Stacked experts (``target_parameters``) have rows by a number that the base knows, and names that it converts.
    """
    if config.get("target_parameters") or not config.get("target_modules") or unfit(config):
        return None
    try:
        spec = LoraSpec(
            target_modules=_names_of(config, "target_modules"),
            exclude_modules=_names_of(config, "exclude_modules"),
            modules_to_save=tuple(_list(config.get("modules_to_save"))),
            layers_to_transform=_numbers(config.get("layers_to_transform")),
            layers_pattern=tuple(_list(config.get("layers_pattern"))),
        )
        modules = tuple(Module(path, "Linear", "other", base="Linear") for path in sorted(paths))
        found = matched_modules(Skeleton("", "", ConfigFacts(), modules, ()), spec)
    except (InspectorError, TypeError, ValueError):
        return None
    return {module.path for module in found}


def _names_of(config: Mapping[str, object], field: str) -> tuple[str, ...] | str:
    value = config.get(field)
    return value if isinstance(value, str) else tuple(_list(value))


def _list(value: object) -> list[str]:
    found = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [each for each in found if isinstance(each, str)]


def _numbers(value: object) -> tuple[int, ...]:
    found = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(each for each in found if isinstance(each, int))


def _peft() -> str:
    return str(peft_tables()["built_with"]).replace("peft", "PEFT")


def _version(config: Mapping[str, object]) -> str:
    said = config.get("peft_version")
    return f" ({said[:20]})" if isinstance(said, str) and said else ""


def _made(files: AdapterFiles) -> str:
    """The config that the tensors tell of."""
    ranks = {
        t.shape[axis] for t in files.stored.tensors if (axis := rank_axis(t.name)) is not None and axis < len(t.shape)
    }
    owners = [tensor.name[: found.start()] for tensor in files.stored.tensors if (found := _PART.search(tensor.name))]
    leaves = list(dict.fromkeys(owner.rpartition(".")[2] for owner in owners))
    if len(ranks) != 1 or not leaves:
        return "put the config that was saved with it beside the file"
    names = ", ".join(leaves[:8])
    return f"put its own beside it; the tensors tell of r={ranks.pop()} and target_modules {names}, alpha they do not"


def _ranks(config: Mapping[str, object], tensors: list[FileTensor]) -> Iterator[Finding]:
    wrong: dict[tuple[int, int], list[str]] = {}
    for tensor in tensors:
        axis, found = rank_axis(tensor.name), _PART.search(tensor.name)
        if axis is None or found is None or len(tensor.shape) <= axis or not tensor.numel:
            continue
        wanted = _rank(config, tensor.name[: found.start()].removeprefix(PREFIX))
        if wanted is not None and tensor.shape[axis] != wanted:
            wrong.setdefault((tensor.shape[axis], wanted), []).append(tensor.name)
    for (stored, wanted), names in wrong.items():
        yield Finding(
            "error",
            f"PEFT stops with size mismatch: {listed(names)} have rank {stored}, the config asks for {wanted}",
            "give adapter_config.json the rank it was trained with (r, rank_pattern)",
            len(names),
        )


def _rank(config: Mapping[str, object], path: str) -> int | None:
    """The rank that a config asks for of a module; None where it says none that is a number."""
    patterns = config.get("rank_pattern")
    for pattern, rank in patterns.items() if isinstance(patterns, dict) else ():
        if endless(pattern) or compiled(pattern) is None:
            return None
        if matches_pattern(pattern, path):
            return rank if isinstance(rank, int) else None
    r = config.get("r", 8)  # PEFT's default
    return r if isinstance(r, int) and not isinstance(r, bool) else None


def _pairs(config: Mapping[str, object], tensors: list[FileTensor]) -> Iterator[Finding]:
    """A without B, B without A, and DoRA's magnitudes that are missing or not asked for."""
    parts: dict[str, set[str]] = {}
    for tensor in tensors:
        if found := _PART.search(tensor.name):
            parts.setdefault(tensor.name[: found.start()], set()).add(found[1])
    dora = config.get("use_dora") is True
    # An embedding's two have names of their own.
    tables = {tensor.name.partition(".lora_embedding_")[0] for tensor in tensors if ".lora_embedding_" in tensor.name}
    for part in ("A", "B", "magnitude_vector") if dora else ("A", "B"):
        lacking = [
            f"{owner}.lora_{'embedding_' if owner in tables and part in 'AB' else ''}{part}"
            for owner, have in parts.items()
            if part not in have
        ]
        if lacking:
            said = f"PEFT warns of missing adapter keys: {listed(lacking)}{effect(lacking, config)}"
            yield Finding("warning", said, "save the whole adapter again", len(lacking))
    if not dora and (
        extra := [f"{owner}.lora_magnitude_vector" for owner, have in parts.items() if "magnitude_vector" in have]
    ):
        what = f"PEFT passes over {listed(extra)} without a word: the config says no use_dora"
        yield Finding("silence", what, "set use_dora in adapter_config.json if it was trained so", len(extra))


def _names(config: Mapping[str, object], tensors: tuple[FileTensor, ...], targeted: set[str]) -> Iterator[Finding]:
    """Modules of the file that the config does not target, and names of the config that nothing in the file is of."""
    strange = [tensor.name for tensor in tensors if not tensor.name.startswith("base_model.")]
    if strange:
        what = f"{listed(strange)} are not named as PEFT names them (base_model.model. and the module's path)"
        yield Finding(
            "warning",
            f"{what}: it passes over them and warns of those it misses",
            "convert them with what they were made for, or save them with PEFT",
            len(strange),
        )
        return
    owners = {
        tensor.name: tensor.name[: match.start()].removeprefix(PREFIX)
        for tensor in tensors
        if (match := _PART.search(tensor.name))
    }
    if other := [name for name, owner in owners.items() if owner not in targeted]:
        what = f"PEFT passes over {listed(other)} without a word: the config targets none of these modules"
        yield Finding("silence", what, "let the config target what was trained", len(other))
    targets = config.get("target_modules")
    names = [name for name in _list(targets) if isinstance(targets, list) and name != "all-linear"]
    if unused := [name for name in names if not any(_ends(owner, name) for owner in targeted)]:
        what = f"target_modules names {', '.join(unused[:8])}, of which the file has no tensor"
        yield Finding("warning", f"{what}: on a base with such modules PEFT warns of missing adapter keys")
    paths = [tensor.name.rpartition(".")[0] for tensor in tensors]
    for name in _list(config.get("modules_to_save")):
        if not any(path.endswith(name) or f"{name}." in path for path in paths):
            what = f"modules_to_save names {name[:60]}, of which the file has no tensor"
            yield Finding(
                "warning",
                f"{what}: on a base with such a module PEFT stops with a KeyError",
                "save it too, or take it out of modules_to_save",
            )


def _ends(path: str, name: str) -> bool:
    return path == name or path.endswith(f".{name}")
