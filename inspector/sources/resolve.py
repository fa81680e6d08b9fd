"""What a reference can be, in the order it is tried: a path, a bundled name, a name on the hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.files import exists
from inspector.sources import bundled
from inspector.sources.source import Bundled, Source

if TYPE_CHECKING:
    from inspector.checkpoint import Checkpoint
    from inspector.skeleton import Skeleton

_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(@[\w./-]{1,120})?(:[\w./@+-]{1,200})?$")


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of one on the hub: ``org/name``, ``org/name@revision``, ``org/name:file.gguf``."""
    return bool(_HUB_ID.match(name))


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
        if exists(path):
            from inspector.sources.on_disk import local

            return local(path)
        if model_id := bundled.find(reference):
            return Bundled(model_id, "bundled")
        if (":" not in reference and reference.endswith((".json", ".safetensors", ".gguf"))) or reference.startswith(
            (".", "/", "~")
        ):
            raise InspectorError(f"no such file or folder: {reference}")
    hub_id = reference.removeprefix("hf:")
    if not is_hub_id(hub_id):
        raise bundled.unknown_model(reference)
    from inspector.sources.hub import hub_model

    hub_id, colon, file = hub_id.partition(":")
    model = hub_model(hub_id)
    if not colon:
        return model
    from inspector.sources.hub import HubModel
    from inspector.sources.hub_gguf import hub_gguf

    if not isinstance(model, HubModel):
        raise InspectorError(f"{hub_id} cannot be reached for its file {file[:80]}")
    return hub_gguf(model, file)


def resolve(reference: str) -> Skeleton:
    """The skeleton a reference means. Raises InspectorError as `locate`, and when its config cannot be built."""
    return locate(reference).skeleton


def resolve_config(reference: str) -> dict[str, Any]:
    """The ``config.json`` content behind a reference, for what builds the real model. Errors as `locate`."""
    return locate(reference).runnable


def checkpoint_of(reference: str) -> Checkpoint | None:
    """What the files behind a reference store; None for a config or a bundled name. Errors as `locate`."""
    return locate(reference).checkpoint
