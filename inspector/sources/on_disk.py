"""What lies on the disk: config files, folders, single safetensors and GGUF files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from inspector.architecture.own_code import own_classes
from inspector.checkpoint.equal_values import TensorReader
from inspector.files import exists, read_json_object
from inspector.sources.folder import read_files, read_folder, unread_in
from inspector.sources.gguf_source import GgufSource
from inspector.sources.source import Source
from inspector.sources.tensor_bytes import read_on_disk

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inspector.checkpoint import Checkpoint


def code_folders(folder: Path, config: Mapping[str, Any]) -> dict[str, Path]:
    """A model's folder, and those of other repositories whose code its config names, fetched from the hub."""
    # Absolute: the code is imported later, from wherever the program is then.
    folders = {"": folder.resolve()}
    for repo in sorted({reference.rpartition("--")[0] for reference in own_classes(config).values()} - {""}):
        from inspector.sources.hub import code_of

        folders |= {repo: code_of(repo)}
    return folders


def reader_below(folder: Path) -> TensorReader:
    """How the tensors of a checkpoint are read from the files of its folder."""
    return TensorReader(lambda tensor, start, length: read_on_disk(folder, tensor, start, length))


@dataclass(frozen=True)
class ConfigFile(Source):
    """A ``config.json`` alone."""

    path: Path

    @cached_property
    def config(self) -> dict[str, Any] | None:
        """The file's content."""
        return read_json_object(self.path)

    def code_folders(self, config: Mapping[str, Any]) -> dict[str, Path]:
        """The file's folder."""
        return code_folders(self.path.parent, config)


@dataclass(frozen=True)
class Folder(Source):
    """A folder with a config, safetensors, or both. Its config's own ``_name_or_path`` may be anything."""

    path: Path

    @cached_property
    def config(self) -> dict[str, Any] | None:
        """The content of its ``config.json``."""
        file = self.path / "config.json"
        return read_json_object(file) if exists(file) else None

    def code_folders(self, config: Mapping[str, Any]) -> dict[str, Path]:
        """The folder itself."""
        return code_folders(self.path, config)

    @property
    def reader(self) -> TensorReader:
        """From the folder's files."""
        return reader_below(self.path)

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """What its safetensors store."""
        return read_folder(self.path, self.buildable)

    @cached_property
    def unread(self) -> str:
        """What transformers loads of it and is not opened here."""
        return unread_in(self.path, self.buildable)

    @property
    def readable(self) -> str:
        """A file of tensors in the folder, such as a variant."""
        found = sorted(path.name for path in self.path.glob("*.safetensors"))
        if found:
            return f"{found[0]} beside it can be read: name that file"
        return "no safetensors and no GGUF lie in it: download the weights"


@dataclass(frozen=True)
class SafetensorsFile(Source):
    """One safetensors file; the config beside it belongs to it."""

    path: Path

    @cached_property
    def config(self) -> dict[str, Any] | None:
        """The content of the ``config.json`` in the same folder."""
        file = self.path.parent / "config.json"
        return read_json_object(file) if exists(file) else None

    def code_folders(self, config: Mapping[str, Any]) -> dict[str, Path]:
        """The file's folder."""
        return code_folders(self.path.parent, config)

    @property
    def reader(self) -> TensorReader:
        """From the file."""
        return reader_below(self.path.parent)

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """What the file stores."""
        return read_files(self.path.parent, [self.path.name], config=self.buildable)


@dataclass(frozen=True)
class GgufFile(GgufSource):
    """One GGUF file, or the first of several it was split into."""

    path: Path

    @cached_property
    def stored(self) -> Checkpoint:
        """What the file, and the splits beside it, store."""
        from inspector.sources.gguf import read_gguf_files

        return read_gguf_files(self.path)
