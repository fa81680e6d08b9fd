"""A limit that all files of one checkpoint share."""

from __future__ import annotations

import threading

from inspector.errors import InspectorError


class Budget:
    """What all files of a checkpoint may have together: as much as one alone."""

    def __init__(self, what: str, total: int) -> None:
        self.what = what
        self.total = self.left = total
        self.lock = threading.Lock()

    def take(self, count: int) -> None:
        """Take some of it, before they are read. Raises InspectorError when so many are not left."""
        with self.lock:
            self.left -= count
            if self.left < 0:
                raise InspectorError(f"the files have over {self.total:,} {self.what} together, the limit")
