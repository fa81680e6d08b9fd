"""A saved adapter's two files, in a folder, as one file, or on the hub: its config and the header of its weights.

One in GGUF is one file, which says itself what PEFT's config does.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.checkpoint.gguf_header import kind_of
from inspector.errors import InspectorError
from inspector.files import exists, json_object, read_json_object
from inspector.sources.folder import read_files
from inspector.sources.loaded_files import PICKLES, pickle_refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inspector.checkpoint import Checkpoint

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

_MOST_FILES = 64
"""GGUF files of a folder that are looked into for an adapter."""


@dataclass(frozen=True)
class AdapterFiles:
    """What was read. ``config`` is None where a file of weights has none beside it; ``folder`` is None on the hub.

    ``by_file`` says that the weights were named themselves.
    """

    name: str
    config: dict[str, Any] | None
    stored: Checkpoint
    folder: Path | None = None
    by_file: bool = False


def adapter_files(reference: Path | str) -> AdapterFiles:
    """The adapter a reference means.

    Args:
        reference: a folder, a safetensors or GGUF file or an ``adapter_config.json``; or ``org/name`` or
            ``org/name@revision``, of which only ``adapter_config.json`` and the header of
            ``adapter_model.safetensors`` are read, or ``org/name:file.gguf``. ``hf:org/name`` is on the hub even if a
            folder has the name.

    Raises:
        InspectorError: when it has no config, no safetensors, or a broken one, or cannot be reached.
    """
    from inspector.sources.hub_id import is_hub_id

    said = str(reference)
    # A folder of that name goes first, as in PEFT's own `from_pretrained`.
    if said.startswith("hf:") or (not exists(Path(reference)) and is_hub_id(said)):
        return _on_hub(said.removeprefix("hf:"))
    path = Path(reference).expanduser()
    if path.is_file() and path.name != CONFIG:
        return _file(path)
    return _in_folder(path.parent if path.is_file() else path)


def _in_folder(folder: Path) -> AdapterFiles:
    if folder.is_dir() and not (folder / CONFIG).exists() and (file := _gguf_adapter(folder)):
        return _in_gguf(file)
    if not folder.is_dir() or not (folder / CONFIG).exists():
        raise InspectorError(f"{folder} has no {CONFIG}", hint="point at the folder of a PEFT adapter")
    config = read_json_object(folder / CONFIG)
    if not (folder / WEIGHTS).exists():
        raise _no_weights(str(folder), [path.name for path in folder.iterdir()])
    stored = read_files(folder, [WEIGHTS])
    return AdapterFiles(stored.name, config, stored, folder)


def _file(path: Path) -> AdapterFiles:
    if path.suffix.lower() in PICKLES:
        raise pickle_refused(path.name)
    if path.suffix.lower() == ".gguf":
        return _in_gguf(path)
    if path.suffix.lower() != ".safetensors":
        raise InspectorError(f"{path} is no safetensors or GGUF file", hint="point at an adapter's folder")
    stored = read_files(path.parent, [path.name])
    if not any("lora" in tensor.name.lower() or tensor.name.startswith("base_model.") for tensor in stored.tensors):
        raise InspectorError(f"{path} holds no adapter", hint=f"try `inspector checkpoint {path}`")
    beside = path.parent / CONFIG
    config = read_json_object(beside) if exists(beside) else None
    return AdapterFiles(path.stem, config, replace(stored, name=path.stem), path.parent, by_file=True)


def _in_gguf(path: Path) -> AdapterFiles:
    from inspector.sources.gguf import read_gguf_files

    return _told_as_adapter(read_gguf_files(path), str(path), path.parent)


def _told_as_adapter(stored: Checkpoint, where: str, folder: Path | None = None) -> AdapterFiles:
    """An adapter in GGUF. Raises InspectorError for a file that is none."""
    if kind_of(stored.metadata, stored.tensors) != "adapter":
        raise InspectorError(f"{where} holds no adapter", hint=f"try `inspector checkpoint {where}`")
    return AdapterFiles(stored.name, None, stored, folder, by_file=True)


def _gguf_adapter(folder: Path) -> Path | None:
    """The one GGUF file of a folder that is an adapter; None where there is none, or more than one."""
    from inspector.sources.gguf import read_gguf

    found = []
    for path in sorted(folder.glob("*.gguf"))[:_MOST_FILES]:
        with suppress(InspectorError):  # what is broken is no adapter here
            header = read_gguf(path)
            found += [path] if kind_of(header.metadata, header.tensors) == "adapter" else []
    return found[0] if len(found) == 1 else None


def _on_hub(hub_id: str) -> AdapterFiles:
    from inspector.sources.hub import HubModel, reached
    from inspector.sources.hub_id import hub_model, is_hub_id

    if not is_hub_id(hub_id):
        raise InspectorError(f"{hub_id[:80]!r} is no name on the hub", hint="give org/name or org/name@revision")
    if ":" in hub_id:  # one GGUF file of a repository
        source = hub_model(hub_id)
        if source.checkpoint is None:
            raise InspectorError(f"{hub_id} has no files here")
        return _told_as_adapter(source.checkpoint, hub_id)
    repo, _, revision = hub_id.partition("@")
    model = reached(repo, revision)
    # Offline, and huggingface_hub has kept its files: they are a folder like any other.
    if not isinstance(model, HubModel):
        return replace(_in_folder(model), name=hub_id, folder=None)
    if CONFIG not in model.files:
        ggufs = sorted(name for name in model.files if name.endswith(".gguf"))
        named = f"one in GGUF is named itself: {hub_id}:{ggufs[0]}" if ggufs else "name a PEFT adapter"
        raise InspectorError(f"{hub_id} has no {CONFIG}", hint=f"{named}; inspector layers shows a model")
    config = json_object(model.text(CONFIG), f"{CONFIG} of {hub_id}")
    if WEIGHTS not in model.files:
        raise _no_weights(hub_id, model.files)
    stored = model.read([WEIGHTS], {}, {})
    return AdapterFiles(stored.name, config, stored)


def _no_weights(where: str, names: Iterable[str]) -> InspectorError:
    """Why an adapter without safetensors is not read: a pickle is not opened, and there may be none."""
    pickles = sorted(name for name in names if name.startswith("adapter_") and name.endswith(PICKLES))
    if pickles:
        return pickle_refused(pickles[0])
    return InspectorError(f"{where} has no {WEIGHTS}", hint="save it with save_pretrained")


def named_base(files: AdapterFiles) -> str:
    """The base model that a config names, where it is at hand without a network: a folder, or a bundled model; else "".

    A relative path is tried from where the command runs, as transformers does, then from the adapter's folder and the
    one above.
    """
    from inspector.sources.bundled import model_ids

    said = (files.config or {}).get("base_model_name_or_path")
    if not isinstance(said, str) or not said.strip():
        return ""
    places = [Path(said).expanduser()]
    if files.folder is not None:
        places += [files.folder / said, files.folder.parent / said]
    for place in places:
        if exists(place / "config.json"):
            return str(place)
    return next((known for known in model_ids() if known.lower() == said.lower()), "")
