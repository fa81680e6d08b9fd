"""A lock beside the cache, so that concurrent runs make an entry once. Without locks the cache is still whole.

The kernel drops the lock of a process that ends, however it ends; one that hangs is not waited for without end.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from typing import TYPE_CHECKING

from inspector.patched import without_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from filelock import BaseFileLock

logger = logging.getLogger("inspector")

PATIENCE = 120.0
"""Seconds to wait for another run's entry, by far more than the slowest takes."""

_TOLD_BY_WRITING = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR})
"""Where no lock can be made because nothing can be written, writing the entry fails next, and says why."""


def _let_go(lock: BaseFileLock, path: Path) -> None:
    """Remove the lock's file, so that they do not pile up, then the lock: who waited on that file asks again."""
    with contextlib.suppress(OSError):
        # While it is held: afterwards another run could hold a lock on it already.
        path.unlink()
    lock.release()


@contextlib.contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock at ``path``; ``what`` it guards is for the lines a user sees while waiting for another run.

    Never raises for want of a lock: where there are none, or another run hangs, it says so and goes on without.
    """
    from filelock import FileLock, Timeout

    with contextlib.ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # The kernel's lock, not the file, is what counts: a file left behind by a killed run locks nobody out.
            lock = FileLock(str(path))
            with without_warnings():  # that it falls back to a lock file where the system has no locks
                try:
                    # At once first, so that only who has to wait is told that it waits.
                    lock.acquire(timeout=0)
                except Timeout:
                    logger.warning("another run is making %s; waiting for it", what)
                    lock.acquire(timeout=PATIENCE)
            held.callback(_let_go, lock, path)
        except Timeout:
            logger.warning("it has not finished in %.0f seconds; going on without it", PATIENCE)
        except (OSError, NotImplementedError) as error:
            if getattr(error, "errno", None) not in _TOLD_BY_WRITING:
                said = getattr(error, "strerror", None) or error
                logger.warning("the cache cannot be locked (%s); another run may make %s too", said, what)
        yield
