"""What a name on the hub means: ``org/name``, a revision of it, or one of its GGUF files."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.sources import bundled
from inspector.sources.disk_tree import DiskTree
from inspector.sources.hub import HubModel, reached
from inspector.sources.hub_gguf import hub_gguf
from inspector.sources.hub_tree import HubTree
from inspector.sources.multipart import composed_source
from inspector.sources.on_disk import Folder
from inspector.sources.source import Bundled

if TYPE_CHECKING:
    from inspector.sources.source import Source

logger = logging.getLogger("inspector")

# Up to 96 characters, as huggingface_hub's own check allows; what no repository can be called is not asked for.
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}(@[\w./-]{1,120})?(:[\w./@+-]{1,200})?$")


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of one on the hub: ``org/name``, ``org/name@revision``, ``org/name:file.gguf``."""
    return bool(_HUB_ID.match(name))


def hub_model(hub_id: str) -> Source:
    """A model by ``org/name`` or ``org/name@revision``, or one of its GGUF files by ``org/name:file.gguf``.

    Out of reach, what was read of it before, else the bundled one of that name, either said aloud. Raises
    InspectorError with what to do when it is missing, gated, private, rate-limited or offline, and there is neither.
    """
    name, colon, file = hub_id.partition(":")
    repo, _, revision = name.partition("@")
    try:
        # The hub first, even for a bundled name: who asks there means what it has now.
        found = reached(repo, revision)
    except InspectorError as error:
        if repo.lower() not in {known.lower() for known in bundled.model_ids()} or colon:
            raise
        logger.warning("%s; using the bundled one", error.message)
        return Bundled(bundled.find(repo) or repo, "bundled")
    if isinstance(found, HubModel):
        if colon:
            return hub_gguf(found, file)
        return composed_source(HubTree(found.name, found.where, found)) or found
    if colon:
        raise InspectorError(f"{name} cannot be reached for its file {file[:80]}")
    where = f"huggingface_hub's cache of {repo}"
    return composed_source(DiskTree(repo, where, found)) or Folder(repo, where, found)
