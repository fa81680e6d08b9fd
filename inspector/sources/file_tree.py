"""Files by their names below one root, on the disk or on the hub: what a model of several parts is read from."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.files import json_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inspector.checkpoint import Checkpoint
    from inspector.checkpoint.equal_values import TensorReader

MAX_PARTS = 200
"""Components of a pipeline or modules of a chain: ten times as many as any published one has."""

# One folder's name: no slash, no leading dot, so that it cannot lead out of the model's.
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
    def reader(self, folder: str) -> TensorReader:
        """How the tensors of one folder's `checkpoint` are read."""

    @abstractmethod
    def code_folders(self, folder: str, config: Mapping[str, Any]) -> dict[str, Path]:
        """Where the code that the config of a part names lies; see `Source.code_folders`."""

    def json(self, file: str) -> dict[str, Any]:
        """The JSON object in a file. Raises InspectorError when there is none."""
        return json_object(self.text(file), f"{file} of {self.name}")

    def list(self, file: str) -> list[dict[str, Any]]:
        """The JSON objects of the list in a file. Raises InspectorError when it is none."""
        # As an object, so that a list goes through the same limits and errors.
        found = json_object(f'{{"list": {self.text(file)}}}', f"{file} of {self.name}")["list"]
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise InspectorError(f"{file} of {self.name} is no list of objects")
        return found

    def config(self, folder: str) -> dict[str, Any]:
        """The ``config.json`` of a part; empty when it has none."""
        file = inside(folder, "config.json")
        return self.json(file) if self.has(file) else {}


def inside(folder: str, file: str) -> str:
    """A file's name below the root."""
    return f"{folder}/{file}" if folder else file


def plain_folder(name: object) -> str:
    """A part's folder. Raises InspectorError for a name that could lead anywhere else."""
    if name == "":
        return ""
    if not isinstance(name, str) or not _PLAIN.fullmatch(name):
        raise InspectorError(f"a part of the model lies in {str(name)[:60]!r}, which is no folder beside it")
    return name
