"""What a path means: a config file, a folder, one file of weights, or a model of several parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.files import exists
from inspector.sources.disk_tree import DiskTree
from inspector.sources.gguf_folder import gguf_in_folder
from inspector.sources.loaded_files import PICKLES, pickle_refused
from inspector.sources.multipart import composed_source
from inspector.sources.on_disk import ConfigFile, Folder, GgufFile, SafetensorsFile

if TYPE_CHECKING:
    from pathlib import Path

    from inspector.sources.source import Source


def source_at(path: Path) -> Source:
    """What is at an existing path. Raises InspectorError for a pickle, and for a folder that is an adapter."""
    if path.is_dir():
        return _folder(path)
    suffix = path.suffix.lower()
    if suffix == ".gguf":
        return GgufFile(path.stem, str(path), path)
    if suffix == ".safetensors":
        return SafetensorsFile(path.stem, str(path), path)
    if suffix in PICKLES:
        raise pickle_refused(path.name)
    # A config.json is called after its folder, as every other is after itself.
    name = path.parent.resolve().name if path.name == "config.json" else path.stem
    return ConfigFile(name or "model", str(path), path)


def _folder(path: Path) -> Source:
    name = path.resolve().name or "model"
    if composed := composed_source(DiskTree(name, str(path), path)):
        return composed
    # A folder with a config is that model, whatever else lies in it.
    if not exists(path / "config.json"):
        if exists(path / "adapter_config.json"):
            raise InspectorError(f"{path} is an adapter, not a model", hint=f"try `inspector adapter {path}`")
        if found := gguf_in_folder(path, name):
            return found
    return Folder(name, str(path), path)
