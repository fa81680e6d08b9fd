"""From what a user points at to a skeleton: a bundled name, a folder, or a config file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.files import read_json_object
from inspector.sources import bundled
from inspector.sources.cache import cached_skeleton

if TYPE_CHECKING:
    from inspector.skeleton import Skeleton


def resolve(reference: str) -> Skeleton:
    """The skeleton a reference means.

    Args:
        reference: a bundled id or a unique ending of one, a folder with a ``config.json``, or such a file.

    Raises:
        InspectorError: when nothing, or more than one thing, is meant, or the config cannot be built.
    """
    path = Path(reference).expanduser()
    if _exists(path):
        return _from_config(path)
    if model_id := bundled.find(reference):
        return bundled.load_bundled(model_id)
    if reference.endswith(".json") or reference.startswith((".", "/", "~")):
        raise InspectorError(f"no such file or folder: {reference}")
    raise bundled.unknown_model(reference)


def resolve_config(reference: str) -> dict[str, Any]:
    """The ``config.json`` content behind a reference, for what builds the real model. Errors as `resolve`."""
    path = Path(reference).expanduser()
    if _exists(path):
        return read_json_object(config_file(path))
    if model_id := bundled.find(reference):
        return bundled.bundled_config(model_id)
    raise bundled.unknown_model(reference)


def config_file(path: Path) -> Path:
    """The config file a path means. Raises InspectorError for a folder that has none."""
    if not path.is_dir():
        return path
    config = path / "config.json"
    if not _exists(config):
        raise InspectorError(f"{path} has no config.json", hint="point at the folder of a transformers model")
    return config


def _exists(path: Path) -> bool:
    """Whether there is something at a path; a name too long or with a null byte is none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _from_config(path: Path) -> Skeleton:
    config = read_json_object(config_file(path))
    return cached_skeleton(config, _model_id(path, config), str(path))


def _model_id(path: Path, config: dict[str, Any]) -> str:
    """A name for a local model: its folder's, else its file's; a config's own ``_name_or_path`` may be anything."""
    folder = path if path.is_dir() else path.parent
    if path.is_dir() or path.name == "config.json":
        return folder.resolve().name or str(config.get("model_type", "model"))
    return path.stem
