"""What a reference can be, in the order it is tried: a path, a bundled name, a name on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.files import exists
from inspector.sources import bundled
from inspector.sources.source import Bundled, Source

if TYPE_CHECKING:
    from inspector.checkpoint import Checkpoint
    from inspector.skeleton import Skeleton


def locate(reference: str) -> Source:
    """What a reference means; nothing but its kind is decided yet, and nothing was read.

    Args:
        reference: a folder, a ``config.json``, a safetensors or GGUF file; a bundled id or a unique ending of one; a
            hub id, ``org/name`` or ``org/name@revision``. ``org/name:file.gguf`` is a GGUF file there.
            ``hf:org/name`` is on the hub even if it is bundled.

    Raises:
        InspectorError: when nothing, or more than one thing, is meant.
    """
    path = Path(reference).expanduser() if not reference.startswith("hf:") else Path()
    if not reference.startswith("hf:"):
        # What lies on the disk goes before all names: a folder named as a model is meant.
        if exists(path):
            from inspector.sources.at_path import source_at

            return source_at(path)
        # A bundled name before the hub, so that it is answered at once and offline.
        if model_id := bundled.find(reference):
            return Bundled(model_id, "bundled")
        # A mistyped path is no name on the hub: asking there would hide what is wrong.
        if (":" not in reference and reference.endswith((".json", ".safetensors", ".gguf"))) or reference.startswith(
            (".", "/", "~")
        ):
            raise InspectorError(f"no such file or folder: {reference}")
    from inspector.sources.hub_id import hub_model, is_hub_id

    hub_id = reference.removeprefix("hf:")
    if not is_hub_id(hub_id):
        raise bundled.unknown_model(reference)
    return hub_model(hub_id)


def resolve(reference: str) -> Skeleton:
    """The skeleton a reference means. Raises InspectorError as `locate`, and when its config cannot be built."""
    return locate(reference).skeleton


def resolve_config(reference: str) -> dict[str, Any]:
    """The ``config.json`` content behind a reference, for what builds the real model. Errors as `locate`."""
    return locate(reference).runnable


def checkpoint_of(reference: str) -> Checkpoint | None:
    """What the files behind a reference store; None for a config or a bundled name. Errors as `locate`."""
    return locate(reference).checkpoint
