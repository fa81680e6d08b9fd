"""An image processor in the place of one that is not on disk: the class of the model's kind, with its own defaults."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_image_processor(folder: Path, config: Mapping[str, Any]) -> str:
    """``preprocessor_config.json`` for a model that takes pictures; its class's name, "" for one that takes none.

    Pictures are of the config's ``image_size`` where the class scales to a height and a width.
    """
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING_NAMES

    kinds = IMAGE_PROCESSOR_MAPPING_NAMES.get(str(config.get("model_type")))
    name = kinds if isinstance(kinds, str) else next(filter(None, (kinds or {}).values()), None)
    if name is None:
        return ""
    written: dict[str, Any] = {"image_processor_type": name}
    size = config.get("image_size")
    if isinstance(size, int) and set(_default_size(name)) == {"height", "width"}:
        written["size"] = {"height": size, "width": size}
    (folder / "preprocessor_config.json").write_text(json.dumps(written), encoding="utf-8")
    return str(name)


def _default_size(name: str) -> Mapping[str, int]:
    import transformers

    try:
        return getattr(getattr(transformers, name, None), "size", None) or {}
    except ImportError:  # without Pillow the class says so to whoever asks it anything; most scripts do not
        return {}
