"""What took long to make is kept on disk: skeletons by the content of their config and the version of transformers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inspector.architecture.own_code import is_trusted
from inspector.errors import InspectorError
from inspector.files import MAX_JSON_BYTES, exists, read_bytes, write_bytes
from inspector.skeleton import json_form as skeleton_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inspector.skeleton import Skeleton

logger = logging.getLogger("inspector")

T = TypeVar("T")

BUILDER = 3
"""Counted up when the same config makes another skeleton than before."""


def cache_folder() -> Path:
    """Where everything is kept: ``$INSPECTOR_CACHE``, or the platform's cache folder."""
    if chosen := os.environ.get("INSPECTOR_CACHE"):
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("llm-inspector", appauthor=False))


def cached(
    entry: Path,
    what: str,
    *,
    load: Callable[[bytes], T],
    make: Callable[[], T],
    dump: Callable[[T], bytes],
    limit: int = MAX_JSON_BYTES,
) -> T:
    """The content of a cache entry, or what ``make`` returns, which is then kept.

    Safe among concurrent runs: one makes an entry while the others wait for it, and entries are replaced whole. A
    damaged entry is made again and said so; a cache that cannot be written costs a warning, not the answer.

    Args:
        entry: the path inside the cache, ``<kind>/<hash>``.
        what: what is kept there, for the warnings, such as "the skeleton of acme/tiny".
        load: the content from its bytes, which are those once kept; may raise InspectorError to have it made again.
        make: the content anew; its errors are raised, and nothing is kept.
        dump: the bytes to keep of it.
        limit: bytes over which an entry counts as damaged.
    """
    with contextlib.suppress(FileNotFoundError, InspectorError):
        return load(_unsealed(entry, limit))
    from inspector.store.lock import locked

    with locked(cache_folder() / "locks" / f"{entry.parent.name}-{entry.name}.lock", what):
        try:
            return load(_unsealed(entry, limit))  # another run may have made it meanwhile
        except FileNotFoundError:
            pass
        except InspectorError as error:
            logger.warning("%s was damaged in the cache (%s); making it again", what, error.message)
        made = make()
        keep(entry, what, dump(made))
    return made


def keep(entry: Path, what: str, body: bytes) -> None:
    """Write an entry: the SHA-256 of its content in hex, a new line, the content. A failure is a warning."""
    try:
        write_bytes(cache_folder() / entry, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    except InspectorError as error:
        logger.warning("%s was not cached: %s", what, error.message)


def kept(entry: Path, *, limit: int = MAX_JSON_BYTES) -> bytes | None:
    """The content of an entry; None when there is none that is whole."""
    with contextlib.suppress(FileNotFoundError, InspectorError):
        return _unsealed(entry, limit)
    return None


def _unsealed(entry: Path, limit: int) -> bytes:
    """The content of an entry. Raises FileNotFoundError, and InspectorError when it is not what was once kept."""
    path = cache_folder() / entry
    if not exists(path):
        raise FileNotFoundError
    digest, _, body = read_bytes(path, limit=limit + 65).partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise InspectorError("its checksum differs")
    return body


def cache_key(config: Mapping[str, Any], library: str = "transformers") -> str:
    """The name of a config's entry: its content, whatever the file is called and wherever it lies.

    Another version of the library, of the skeleton format or of how it is read makes another entry; so does the code
    that a model brings along, where it is trusted: by its content (see `inspector.architecture.own_code`).
    """
    parts = [config, library, _version(library), skeleton_json.VERSION, BUILDER, is_trusted(config)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def cached_skeleton(config: Mapping[str, Any], model_id: str, source: str) -> Skeleton:
    """The kept skeleton of a config, or a newly built one, which is then kept as `cached` keeps it.

    Raises InspectorError when the config cannot be built.
    """

    def build() -> Skeleton:
        from inspector.architecture import build_skeleton

        return build_skeleton(config, model_id=model_id, source=source)

    return cached_build(config, model_id, source, build)


def cached_build(
    config: Mapping[str, Any], model_id: str, source: str, build: Callable[[], Skeleton], library: str = "transformers"
) -> Skeleton:
    """As `cached_skeleton`, built in a way of one's own by a library; its version and the config name the entry."""
    found = cached(
        Path("skeletons", cache_key(config, library)),
        f"the skeleton of {model_id}",
        load=lambda data: skeleton_json.loads(data.decode("utf-8", "replace")),
        make=build,
        dump=lambda skeleton: skeleton_json.dumps(skeleton).encode(),
    )
    return replace(found, model_id=model_id, source=source)
