"""A repository on the hub, as the files that a model of several parts is read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.sources.file_tree import Tree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inspector.checkpoint import Checkpoint
    from inspector.checkpoint.equal_values import TensorReader
    from inspector.sources.hub import HubModel


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

    def reader(self, folder: str) -> TensorReader:
        """By ranges; a tensor's file is named from the repository's root."""
        return self.model.reader

    def code_folders(self, folder: str, config: Mapping[str, Any]) -> dict[str, Path]:
        """The repository's Python files; those in folders are not looked for."""
        return self.model.code_folders(config)
