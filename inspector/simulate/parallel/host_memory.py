"""The machine's memory beside a card's: which tensors lie there, which are pinned, and the most they come to."""

from __future__ import annotations

import weakref
from collections import Counter
from typing import TYPE_CHECKING, Any

from inspector.simulate.parallel.cut import local

if TYPE_CHECKING:
    import torch


class _Held(weakref.ref[Any]):
    """A weak reference to a storage that knows what it takes."""

    __slots__ = ("key", "nbytes", "pinned")
    key: int
    nbytes: int
    pinned: bool


class HostMemory:
    """One rank's part of the machine's memory; ``most`` is the most of it at once, in bytes.

    Pageable memory goes back when a tensor dies. Pinned memory is asked for in powers of two and kept by PyTorch for
    the next of that size (ATen/core/CachingHostAllocator.h, ``allocate``: ``PowerOf2Ceil``, then the free list).
    ``pinned_bytes`` is what PyTorch holds so.
    """

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}
        self._pageable = 0
        self._free: Counter[int] = Counter()
        self.pinned_bytes = 0
        self.most = 0

    def made(self, tensor: torch.Tensor, *, pinned: bool = False) -> None:
        """A tensor lies in the machine's memory, until its storage dies."""
        storage = local(tensor).untyped_storage()
        # Another may have died where this one was made, and not have been told of yet.
        if (before := self._held.get(storage._cdata)) is not None and before() is not None:
            return
        held = _Held(storage, self._died)
        held.key, held.nbytes, held.pinned = storage._cdata, storage.nbytes(), pinned
        self._held[held.key] = held
        if not pinned:
            self._pageable += held.nbytes
        elif held.nbytes:
            held.nbytes = power_of_two(held.nbytes)
            if self._free[held.nbytes]:
                self._free[held.nbytes] -= 1
            else:
                self.pinned_bytes += held.nbytes
        self.most = max(self.most, self._pageable + self.pinned_bytes)

    def _died(self, held: _Held) -> None:
        if self._held.get(held.key) is held:
            del self._held[held.key]
        if not held.pinned:
            self._pageable -= held.nbytes
        elif held.nbytes:
            self._free[held.nbytes] += 1

    def holds(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor lies in the machine's memory."""
        return bool(self._held) and local(tensor).untyped_storage()._cdata in self._held

    def is_pinned(self, tensor: torch.Tensor) -> bool:
        """Whether it lies there pinned."""
        held = self._held.get(local(tensor).untyped_storage()._cdata)
        return held is not None and held.pinned

    def __bool__(self) -> bool:
        return bool(self._held)


def power_of_two(nbytes: int) -> int:
    """The smallest that is enough."""
    return 1 << (nbytes - 1).bit_length()
