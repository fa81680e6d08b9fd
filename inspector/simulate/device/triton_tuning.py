"""What Triton's autotuner allocates when it meets a kernel for sizes it does not know yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Hashable

BUFFER_BYTES = 256 * 1024 * 1024
"""Written between two runs of a kernel, so that none finds its data in the cache of the chip.

Sources: Triton 3.7, triton/testing.py, ``do_bench``, and backends/nvidia/driver.py, ``get_empty_cache_for_benchmark``.
It is taken from PyTorch's allocator for each configuration that is tried, and let go: one block serves all.
"""


class Autotuned:
    """What a process has tuned. Source: Triton 3.7, triton/runtime/autotuner.py, ``Autotuner.run``."""

    def __init__(self) -> None:
        self._known: set[tuple[Hashable, ...]] = set()

    def launch(self, kernel: str, *key: Hashable, device: torch.device) -> None:
        """A launch of a kernel; ``key`` is what its configuration is chosen by."""
        if (kernel, *key) in self._known:
            return
        self._known.add((kernel, *key))
        buffer = torch.empty((BUFFER_BYTES // 4,), dtype=torch.int32, device=device)
        del buffer
