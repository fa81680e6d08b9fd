"""Where the model of a measured run is found: by name as everywhere, by a path, or among the measured configs."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from inspector.files import exists

COPIES = {"NousResearch/Llama-2-": "meta-llama/Llama-2-"}
"""Ungated copies of gated models: the same config under another owner."""


def original(name: str) -> str:
    """The name of the model that a copy is of; any other name as it is."""
    for copy, owner in COPIES.items():
        if name.startswith(copy):
            return owner + name.removeprefix(copy)
    return name


def find_model(name: str, folder: Path | None = None) -> str:
    """The reference of a record's model: a path from here, or else from its file's folder; else the name itself."""
    # From where the user is first, as everywhere; a file that is passed on brings its models beside it.
    if folder is not None and name and not exists(Path(name).expanduser()) and exists(folder / name):
        return str(folder / name)
    return name


def kept_config(reference: str) -> Path | None:
    """The file of a measured model's config that is kept here, None for any other model."""
    kept = Path(str(files("inspector"))) / "data" / "measured_configs" / f"{reference.replace('/', '--')}.json"
    return kept if kept.is_file() else None


def is_here(reference: str) -> bool:
    """Whether a model's config needs no hub: it is kept or bundled, or a path."""
    from inspector.sources.bundled import find

    return kept_config(reference) is not None or bool(find(reference)) or exists(Path(reference).expanduser())


def config_of(reference: str) -> dict[str, Any]:
    """The ``config.json`` of a measured model. Raises InspectorError when nothing is meant by the reference."""
    from inspector.sources.resolve import resolve_config

    if (kept := kept_config(reference)) is not None:
        config: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return config
    return resolve_config(reference)
