"""What took long to make is kept on disk, whole or not at all, and found again by its name."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from inspector.errors import InspectorError
from inspector.files import MAX_JSON_BYTES, exists, read_bytes, write_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("inspector")

T = TypeVar("T")

_BLOCK = 4096
"""What a file takes on disk at the least, on the file systems in use."""

_DIGEST = 65
"""Characters before an entry's content: a SHA-256 in hex and a new line."""


def store_folder() -> Path:
    """Where everything is kept: ``$INSPECTOR_CACHE``, or the platform's cache folder."""
    if chosen := os.environ.get("INSPECTOR_CACHE"):
        return Path(chosen)
    # Here, for a run that finds its folder in the environment has no need of it.
    import platformdirs

    return Path(platformdirs.user_cache_dir("llm-inspector", appauthor=False))


def stored(
    entry: Path,
    what: str,
    *,
    load: Callable[[bytes], T],
    make: Callable[[], T],
    dump: Callable[[T], bytes],
    limit: int = MAX_JSON_BYTES,
    most: int | None = None,
) -> T:
    """The content of an entry, or what ``make`` returns, which is then kept.

    Safe among concurrent runs: one makes an entry while the others wait for it, and entries are replaced whole. A
    damaged entry is made again and said so; a cache that cannot be written costs a warning, not the answer.

    Args:
        entry: the path inside the store, ``<kind>/<hash>``.
        what: what is kept there, for the warnings, such as "the skeleton of acme/tiny".
        load: the content from its bytes, which are those once kept; may raise InspectorError to have it made again.
        make: the content anew; its errors are raised, and nothing is kept.
        dump: the bytes to keep of it.
        limit: bytes over which an entry counts as damaged.
        most: bytes that the entries of this kind may take together; of more, the longest unused go. None: no limit.
    """
    with contextlib.suppress(FileNotFoundError, InspectorError):
        found = load(_unsealed(entry, limit))
        if most is not None:
            _used_now(entry)
        return found
    # Only now: an entry that is there is read without a lock, for entries are replaced whole.
    from inspector.store.lock import locked

    with locked(store_folder() / "locks" / f"{entry.parent.name}-{entry.name}.lock", what):
        try:
            return load(_unsealed(entry, limit))  # another run may have made it meanwhile
        except FileNotFoundError:
            pass
        except InspectorError as error:
            logger.warning("%s was damaged in the cache (%s); making it again", what, error.message)
        made = make()
        if most is not None:
            # Before it is kept, so that the new entry is never the one to go.
            drop_oldest(store_folder() / entry.parent, most)
        keep(entry, what, dump(made))
    return made


def keep(entry: Path, what: str, body: bytes) -> None:
    """Write an entry: the SHA-256 of its content in hex, a new line, the content. A failure is a warning."""
    try:
        write_bytes(store_folder() / entry, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    except InspectorError as error:
        logger.warning("%s was not cached: %s", what, error.message)


def kept(entry: Path, *, limit: int = MAX_JSON_BYTES) -> bytes | None:
    """The content of an entry; None when there is none that is whole."""
    with contextlib.suppress(FileNotFoundError, InspectorError):
        return _unsealed(entry, limit)
    return None


def _unsealed(entry: Path, limit: int) -> bytes:
    """The content of an entry. Raises FileNotFoundError, and InspectorError when it is not what was once kept."""
    path = store_folder() / entry
    if not exists(path):
        raise FileNotFoundError
    digest, _, body = read_bytes(path, limit=limit + _DIGEST).partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise InspectorError("its checksum differs")
    return body


def _used_now(entry: Path) -> None:
    """Note that an entry was used: others are dropped first. Where nothing can be written, nothing is dropped."""
    with contextlib.suppress(OSError):
        os.utime(store_folder() / entry)


def drop_oldest(folder: Path, most: int) -> None:
    """Remove the longest unused entries until the rest takes at most ``most`` bytes; other runs may do the same."""
    with contextlib.suppress(OSError):
        with os.scandir(folder) as entries:
            # Times are those of the last use: `_used_now` sets them.
            found = sorted((each.stat().st_mtime, each.stat().st_size, each.path) for each in entries if each.is_file())
        left = sum(max(size, _BLOCK) for _, size, _ in found)
        for _, size, path in found:
            if left <= most:
                break
            Path(path).unlink(missing_ok=True)
            left -= max(size, _BLOCK)
