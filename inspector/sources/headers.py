"""Headers of many files at once, within one limit for all of them, with progress when it takes a while."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from typing import TYPE_CHECKING

from inspector.checkpoint import MAX_TENSORS
from inspector.errors import InspectorError
from inspector.sources.budget import Budget
from inspector.sources.safetensors import MAX_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inspector.checkpoint import FileTensor

# Far over the shards of any published checkpoint (DeepSeek-V3: 163).
MAX_FILES = 10_000

Header = tuple[int, "tuple[FileTensor, ...]"]
"""Bytes of a whole file, and the tensors in it."""


def read_headers(names: Sequence[str], read: Callable[[str, Budget], Header], threads: int) -> list[Header]:
    """What ``read`` makes of each file, in the order of the names.

    The first error is raised and stops the others. Raises InspectorError for too many files, or when they list more
    tensors together than a checkpoint may have.
    """
    from inspector.progress import counting

    if len(names) > MAX_FILES:
        raise InspectorError(f"{len(names):,} files are over the limit of {MAX_FILES:,}")
    headers, tensors = Budget("bytes of header", MAX_HEADER), Budget("tensors", MAX_TENSORS)
    with counting("headers", len(names)) as done, ThreadPoolExecutor(threads) as pool:
        # each in a copy of this thread's context, for what is trusted is said there
        running = {pool.submit(copy_context().run, read, name, headers): name for name in names}
        try:
            # As they come, so that the first broken one stops the rest, whichever it is.
            for future in as_completed(running):
                tensors.take(len(future.result()[1]))
                done()
        except BaseException:
            # Those under way end by themselves; waiting for them would keep the error back.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in running]
