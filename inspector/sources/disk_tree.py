"""A folder on the disk, as the files that a model of several parts is read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.files import MAX_JSON_BYTES, exists, read_text
from inspector.sources.file_tree import Tree
from inspector.sources.folder import read_folder
from inspector.sources.on_disk import code_folders, reader_below

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inspector.checkpoint import Checkpoint
    from inspector.checkpoint.equal_values import TensorReader


@dataclass(frozen=True)
class DiskTree(Tree):
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
        """What the safetensors in one folder store, those that are loaded of them."""
        at = self.path / folder
        return read_folder(at, config) if at.is_dir() else None

    def reader(self, folder: str) -> TensorReader:
        """From the folder's files."""
        return reader_below(self.path / folder)

    def code_folders(self, folder: str, config: Mapping[str, Any]) -> dict[str, Path]:
        """The part's folder, and those of other repositories."""
        return code_folders(self.path / folder, config)
