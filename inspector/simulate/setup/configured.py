"""Configuration files of trainers and launchers, several as one training: what they resolve to, and who set what."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from inspector.errors import InspectorError
from inspector.reporting import Report
from inspector.simulate.setup.readers.axolotl import is_axolotl, read_axolotl
from inspector.simulate.setup.readers.config_file import ConfigFile, read_config_file
from inspector.simulate.setup.readers.launchers import is_launcher, resolve_launcher
from inspector.simulate.setup.readers.llama_factory import is_llama_factory, read_llama_factory, trains_nothing
from inspector.simulate.setup.readers.models_named import bundled_as
from inspector.simulate.setup.readers.own import is_own, own_options, read_own
from inspector.simulate.setup.readers.plain_trainer import (
    is_firefly,
    is_training_arguments,
    read_firefly,
    read_training_arguments,
)
from inspector.simulate.setup.readers.reading import NotRead, Told, TrainerSays
from inspector.simulate.setup.readers.torchtune import is_torchtune, read_torchtune
from inspector.simulate.setup.readers.trl import is_trl, read_trl
from inspector.simulate.setup.readers.trl_versions import parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MOST_FILES = 8
KINDS = "axolotl, LLaMA-Factory, TRL, alignment-handbook, torchtune, TrainingArguments, accelerate, DeepSpeed, our own"
_PARALLEL = ("parallel.", "num_processes")


@dataclass(frozen=True)
class ConfigReport(Report):
    """What configuration files resolve to.

    ``told`` are the settings by their dotted names, in the order of the files' tools; ``not_read`` the keys that were
    not understood, those that change memory first; ``without_effect`` counts those that change none. ``options`` are
    words of ours that a file of our own says.
    """

    kind: ClassVar[str] = "config"

    files: tuple[str, ...]
    tools: tuple[str, ...]
    versions: tuple[str, ...]
    told: Mapping[str, Told]
    not_read: tuple[NotRead, ...]
    without_effect: int
    notes: Mapping[str, str] = field(default_factory=dict)
    launchers: tuple[ConfigFile, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def resolved(self) -> dict[str, Any]:
        """All settings as one tree: ``lora.r`` is in ``lora``; a part that is null is null. Notes are for people."""
        found: dict[str, Any] = {}
        for name, one in self.told.items():
            *path, last = name.split(".")
            place = found
            for part in path:
                place = place.setdefault(part, {})
            place[last] = one.value
        return {**found, **self.notes}

    def value(self, name: str) -> Any:
        """A setting by its dotted name; None where nothing said it."""
        return self.told[name].value if name in self.told else None


def read_config(
    files: Sequence[Path | str] | Path | str, *, tool_version: str = "", gpus: int | None = None
) -> ConfigReport:
    """Read configuration files, each recognised by its content.

    Args:
        files: one or several: at most one of a trainer, one of accelerate and one of DeepSpeed.
        tool_version: the trainer's version, ``0.18.0`` of TRL; ``transformers==4.52`` that of transformers; several
            with commas between them. Left out, it is told from the keys.
        gpus: how many cards, where no file says it.

    Raises:
        InspectorError: for a broken file, one that nobody knows, or two that contradict each other.
    """
    names = (files,) if isinstance(files, (str, Path)) else tuple(files)
    if not names:
        raise InspectorError("no configuration file is named", hint="give one")
    if len(names) > MOST_FILES:
        raise InspectorError(f"--config names {len(names)} files, and at most {MOST_FILES} make one training")
    versions = _versions(tool_version)
    read = [read_config_file(Path(name)) for name in names]
    return put_together(read, versions, gpus=gpus)


def put_together(
    read: Sequence[ConfigFile], versions: Mapping[str, tuple[int, int]] | None = None, *, gpus: int | None = None
) -> ConfigReport:
    """The same of files that were read already."""
    trainers: list[TrainerSays] = []
    launchers: list[ConfigFile] = []
    options: dict[str, Any] = {}
    for file in read:
        if is_launcher(file):
            launchers.append(file)
            continue
        trainers.append(_trainer(file, versions or {}))
        if is_own(file):
            options |= own_options(file)
    if len(trainers) > 1:
        raise InspectorError(f"{' and '.join(one.name for one in trainers)} are each a whole training",
                             hint="give one of them, and files of accelerate and DeepSpeed beside it")  # fmt: skip
    sections = [] if launchers else [one for says in trainers for one in says.launcher]
    says = [*trainers, *(resolve_launcher(file) for file in launchers)]
    says += [resolve_launcher(file, partly=True) for file in sections]
    told, notes = _merged(says)
    if gpus is not None:
        told = _with_cards(told, gpus)
    told = _automatic(told, trained=bool(trainers))
    not_read = sorted((one for each in says for one in each.not_read), key=lambda one: not one.matters)
    if launchers:
        not_read = [one for one in not_read if one.key not in {"deepspeed", "fsdp_config"}]
    return ConfigReport(
        tuple(file.name for file in read), tuple(dict.fromkeys(one.tool for one in says)),
        tuple(dict.fromkeys(f"{one.tool} {one.version}" for one in says)), told, tuple(not_read),
        sum(one.without_effect for one in says), notes, (*launchers, *sections), options,
    )  # fmt: skip


def _versions(said: str) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for part in filter(None, (piece.strip() for piece in said.split(","))):
        name, _, number = part.replace("==", "=").rpartition("=")
        found[name.strip().lower() or "tool"] = parsed(number)
    return found


def _trainer(file: ConfigFile, versions: Mapping[str, tuple[int, int]]) -> TrainerSays:
    transformers = versions.get("transformers", (0, 0))[0] or None
    readers: tuple[tuple[Callable[[ConfigFile], bool], Callable[[], TrainerSays]], ...] = (
        (is_own, lambda: read_own(file)),
        (is_torchtune, lambda: read_torchtune(file)),
        (is_axolotl, lambda: read_axolotl(file)),
        (is_firefly, lambda: read_firefly(file, transformers)),
        (is_llama_factory, lambda: read_llama_factory(file, transformers)),
        (is_trl, lambda: read_trl(file, versions.get("trl", versions.get("tool")))),
        (is_training_arguments, lambda: read_training_arguments(file, transformers)),
    )
    if other := trains_nothing(file):
        raise InspectorError(other)
    for recognises, read in readers:
        if recognises(file):
            return read()
    raise InspectorError(f"{file.name} is a configuration of none that is known", hint=f"known: {KINDS}")


def _merged(says: Sequence[TrainerSays]) -> tuple[dict[str, Told], dict[str, str]]:
    """A trainer's first; what a launcher says of cards goes before it, and the rest where the trainer says nothing."""
    told: dict[str, Told] = {}
    notes: dict[str, str] = {}
    for one in says:
        for name, setting in one.told.items():
            mine = told.get(name)
            cards = name.startswith(_PARALLEL)
            if mine is None and any(other.startswith(f"{name}.") or name.startswith(f"{other}.") for other in told):
                continue
            # A count that nobody knows takes no other's place.
            if mine is None or (cards and setting.value is not None) or (
                name == "mixed_precision" and mine.value == "none" and mine.by == "default"
            ) or (mine.value == "auto" and name != "load_dtype"):  # fmt: skip
                told[name] = setting
        notes |= {name: text for name, text in one.notes.items() if name not in notes}
    return told, notes


def _with_cards(told: dict[str, Told], gpus: int) -> dict[str, Told]:
    you = f"--gpus {gpus}"
    kind = told.get("parallel.kind")
    found = {**told, "num_processes": Told("num_processes", gpus, "you", you)}
    if kind is None or kind.value in {"unknown", "single"}:
        word = "single" if gpus == 1 else "ddp" if kind is not None and kind.value == "single" else "unknown"
        found["parallel.kind"] = Told("parallel.kind", word, "you", you)
        found.setdefault("parallel.offload", Told("parallel.offload", "none", "follows", you))
    return found


def _automatic(told: dict[str, Told], *, trained: bool) -> dict[str, Told]:
    """DeepSpeed's ``auto`` as transformers fills it, where a trainer's file says what it is filled with."""
    found = dict(told)
    if not trained:
        return found
    known = bundled_as(str(told["model"].value)) if "model" in told else None
    hidden = None
    if known is not None:
        from inspector.sources.bundled import load_bundled

        hidden = load_bundled(known).facts.hidden_size
    if hidden:
        rules = {
            "reduce_bucket": hidden**2,
            "prefetch_bucket": int(0.9 * hidden**2),
            "persistence_threshold": 10 * hidden,
        }
        where = f"transformers' integrations/deepspeed.py, of hidden size {hidden:,}"
        for name, size in rules.items():
            mine = found.get(f"parallel.{name}")
            if mine is not None and mine.value == "auto":
                found[mine.name] = replace(mine, value=size, by="follows", where=where, line=None)
    return found
