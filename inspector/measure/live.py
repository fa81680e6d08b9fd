"""The bytes of the storages alive in this process: what stands in for an allocator's count on a CPU. Imports torch."""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from inspector.architecture.error_origin import runs_operators
from inspector.measure.weigh import _tensors, own_part
from inspector.patched import patched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn
    from torch._ops import OpOverload


class LiveStorages(TorchDispatchMode):
    """Counts the bytes of the storages alive: those of a model to begin with, and every one an operation makes."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.nbytes = self.peak = 0
        self._known: dict[int, int] = {}
        for *_, tensor in _tensors(model):
            self.note(tensor)

    def note(self, tensor: torch.Tensor) -> None:
        """Count a tensor's storage, until it dies; of one that is cut over ranks, this rank's part."""
        storage = own_part(tensor).untyped_storage()
        # The address in C: Python may wrap one storage more than once.
        key = storage._cdata
        # Of a fake tensor, by which DTensor asks for a shape, the storage alone says that it is none.
        if key in self._known or storage.device.type == "meta":
            return
        size = storage.nbytes()
        self._known[key] = 0
        self._is(key, size)
        weakref.finalize(storage, self._died, key)

    def _is(self, key: int, size: int) -> None:
        self.nbytes += size - self._known[key]
        self._known[key] = size
        self.peak = max(self.peak, self.nbytes)

    def _died(self, key: int) -> None:
        self.nbytes -= self._known.pop(key)

    def __enter__(self) -> Self:
        """Also hear of storages that are emptied and filled again, which no operation tells (FSDP's)."""
        resize = torch.UntypedStorage.resize_

        def resized(storage: torch.UntypedStorage, size: int) -> Any:
            out = resize(storage, size)
            if storage._cdata in self._known:
                self._is(storage._cdata, storage.nbytes())
            return out

        self._listening = ExitStack()
        self._listening.enter_context(patched({"torch.UntypedStorage.resize_": resized}))
        return super().__enter__()  # type: ignore[no-any-return]

    def __exit__(self, *error: object) -> None:
        """Hear no more."""
        super().__exit__(*error)
        self._listening.close()

    @runs_operators
    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation and note what it returned."""
        if types and any(each.__name__ == "DTensor" for each in types):
            return NotImplemented  # a DTensor works on this rank's part, with operations that are seen by and by
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(each, torch.Tensor):
                self.note(each)
        return result
