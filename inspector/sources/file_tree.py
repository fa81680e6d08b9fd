"""Files by their names below one root, on the disk or on the hub: what a model of several parts is read from."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.files import MAX_JSON_BYTES, exists, json_object, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from inspector.checkpoint import Checkpoint
    from inspector.skeleton import Skeleton
    from inspector.sources.hub import HubModel

MAX_PARTS = 200
"""Components of a pipeline or modules of a chain: ten times as many as any published one has."""

_PLAIN = re.compile(r"[A-Za-z0-9][\w.-]{0,80}")


class Tree(ABC):
    """Where a model of several parts lies. ``name`` is what it is called, ``where`` says where it came from."""

    name: str
    where: str

    @abstractmethod
    def has(self, file: str) -> bool:
        """Whether there is a file of that name."""

    @abstractmethod
    def text(self, file: str) -> str:
        """Its content. Raises InspectorError when it cannot be read."""

    @abstractmethod
    def checkpoint(self, folder: str, config: dict[str, Any]) -> Checkpoint | None:
        """What the safetensors in one folder (``""`` is the root) store."""

    @abstractmethod
    def code_folders(self, folder: str, config: Mapping[str, Any]) -> dict[str, Path]:
        """Where the code that the config of a part names lies; see `Source.code_folders`."""

    def json(self, file: str) -> dict[str, Any]:
        """The JSON object in a file. Raises InspectorError when there is none."""
        return json_object(self.text(file), f"{file} of {self.name}")

    def list(self, file: str) -> list[dict[str, Any]]:
        """The JSON objects of the list in a file. Raises InspectorError when it is none."""
        found = json_object(f'{{"list": {self.text(file)}}}', f"{file} of {self.name}")["list"]
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise InspectorError(f"{file} of {self.name} is no list of objects")
        return found

    def config(self, folder: str) -> dict[str, Any]:
        """The ``config.json`` of a part; empty when it has none."""
        file = inside(folder, "config.json")
        return self.json(file) if self.has(file) else {}


@dataclass(frozen=True)
class LocalTree(Tree):
    """A folder on the disk."""

    name: str
    where: str
    path: Path

    def has(self, file: str) -> bool:
        """Whether there is a file of that name."""
        return exists(self.path / file)

    def text(self, file: str) -> str:
        """Its content."""
        return read_text(self.path / file, limit=MAX_JSON_BYTES)

    def checkpoint(self, folder: str, config: dict[str, Any]) -> Checkpoint | None:
        """What the safetensors in one folder store; the default variant where there are several."""
        from inspector.sources.folder import read_files, read_folder

        at = self.path / folder
        for name in ("diffusion_pytorch_model.safetensors", "model.safetensors"):
            if exists(at / name):
                return read_files(at, [name], config=config)
        return read_folder(at, config) if at.is_dir() else None

    def code_folders(self, folder: str, config: Mapping[str, Any]) -> dict[str, Path]:
        """The part's folder, and those of other repositories."""
        from inspector.sources.on_disk import code_folders

        return code_folders(self.path / folder, config)


@dataclass(frozen=True)
class HubTree(Tree):
    """A repository on the hub."""

    name: str
    where: str
    model: HubModel

    def has(self, file: str) -> bool:
        """Whether the repository lists a file of that name."""
        return file in self.model.files

    def text(self, file: str) -> str:
        """Its content, kept on disk by commit."""
        return self.model.text(file)

    def checkpoint(self, folder: str, config: dict[str, Any]) -> Checkpoint | None:
        """What the headers of the safetensors in one folder say."""
        return self.model.stored(folder, config)

    def code_folders(self, folder: str, config: Mapping[str, Any]) -> dict[str, Path]:
        """The repository's Python files; those in folders are not looked for."""
        return self.model.code_folders(config)


def inside(folder: str, file: str) -> str:
    """A file's name below the root."""
    return f"{folder}/{file}" if folder else file


def plain_folder(name: Any) -> str:
    """A part's folder. Raises InspectorError for a name that could lead anywhere else."""
    if name == "":
        return ""
    if not isinstance(name, str) or not _PLAIN.fullmatch(name):
        raise InspectorError(f"a part of the model lies in {str(name)[:60]!r}, which is no folder beside it")
    return name


def below(skeleton: Skeleton, prefix: str) -> Skeleton:
    """A skeleton as a part of a larger one: every path begins with ``prefix``."""
    if not prefix:
        return skeleton

    def moved(path: str) -> str:
        return f"{prefix}.{path}" if path else prefix

    modules = tuple(
        replace(module, path=moved(module.path), layer=moved(module.layer) if module.layer else None)
        for module in skeleton.modules
    )
    tensors = tuple(
        replace(tensor, name=moved(tensor.name), tied_to=moved(tensor.tied_to) if tensor.tied_to else None)
        for tensor in skeleton.tensors
    )
    return replace(skeleton, modules=modules, tensors=tensors)


def joined_checkpoint(name: str, parts: Mapping[str, Checkpoint], config: dict[str, Any]) -> Checkpoint | None:
    """The files of all parts as one checkpoint, each tensor below its part; None where no part has files."""
    from inspector.checkpoint import Checkpoint

    def files(part: str, names: Iterable[str]) -> tuple[str, ...]:
        return tuple(file if file.startswith(f"{part}/") else inside(part, file) for file in names)

    if not parts:
        return None
    tensors = tuple(
        replace(tensor, name=f"{part}.{tensor.name}" if part else tensor.name, file=files(part, (tensor.file,))[0])
        for part, checkpoint in parts.items()
        for tensor in checkpoint.tensors
    )
    return Checkpoint(
        name,
        "safetensors",
        tensors,
        tuple(file for part, checkpoint in parts.items() for file in files(part, checkpoint.files)),
        sum(checkpoint.file_bytes for checkpoint in parts.values()),
        config,
        tuple(note for checkpoint in parts.values() for note in checkpoint.notes),
    )
