"""Skeletons built once are kept on disk, by the content of their config and the version of transformers."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector import skeleton_json
from inspector.errors import InspectorError
from inspector.files import read_text, write_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.skeleton import Skeleton

logger = logging.getLogger("inspector")


def cache_folder() -> Path:
    """Where built skeletons are kept: ``$INSPECTOR_CACHE``, or the platform's cache folder."""
    if chosen := os.environ.get("INSPECTOR_CACHE"):
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("llm-inspector", appauthor=False))


def cache_key(config: Mapping[str, Any]) -> str:
    """The name of a config's entry: its content, whatever the file is called and wherever it lies.

    Another version of transformers, or of the skeleton format, makes another entry.
    """
    parts = [config, version("transformers"), skeleton_json.VERSION]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def cached_skeleton(config: Mapping[str, Any], model_id: str, source: str) -> Skeleton:
    """The kept skeleton of a config, or a newly built one, which is then kept.

    Safe among concurrent runs: entries are replaced whole. A damaged entry is built again and said so; a cache that
    cannot be written costs a warning, not the answer.
    """
    path = cache_folder() / "skeletons" / f"{cache_key(config)}.json"
    if path.exists():
        try:
            return replace(skeleton_json.loads(read_text(path)), model_id=model_id, source=source)
        except InspectorError:
            logger.warning("the cached skeleton of %s was damaged; built it again", model_id)
    from inspector.build import build_skeleton

    skeleton = build_skeleton(config, model_id=model_id, source=source)
    try:
        write_text(path, skeleton_json.dumps(skeleton))
    except InspectorError as error:
        logger.warning("the skeleton was not cached: %s", error.message)
    return skeleton
