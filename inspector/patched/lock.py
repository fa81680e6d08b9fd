"""Whose replacements act now: one lock for the process, and the thread that holds it."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Process:
    """Which thread's replacements act now. One lock for the process: a second thread waits, the same one nests."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.holder = self.depth = 0

    def after_fork(self) -> None:
        """In a forked child no other thread goes on: what one of them held is free, and its replacements are idle."""
        if self.holder != threading.get_ident():
            self.lock = threading.RLock()
            self.holder = self.depth = 0


_process = _Process()
# Windows has no fork, and not this function either.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.after_fork)


def acting() -> bool:
    """Whether the calling thread is the one whose replacements act."""
    return _process.holder == threading.get_ident()  # without the lock: no other thread ever writes this one's number


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait for the lock, then let this thread's replacements act until the block ends; it nests."""
    with _process.lock:
        _process.holder = threading.get_ident()
        _process.depth += 1
        try:
            yield
        finally:
            _process.depth -= 1
            if not _process.depth:
                _process.holder = 0  # no thread has this number (threading.get_ident)
