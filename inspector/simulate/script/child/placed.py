"""Where the storages of a script's tensors are, and what is known of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.simulate.script.child.places import Shown
from inspector.simulate.script.child.storages import Hollow, Place, has_no_data, under_transforms
from inspector.simulate.tracing.tracer import FOREIGN, Tracer

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from inspector.memory_kinds import MemoryKind
    from inspector.simulate.device.kernels import Kernels
    from inspector.simulate.script.child.unknown import Policies


class Placed(Tracer):
    """A tracer that knows where storages are.

    Args:
        kernels: of the card.
        policies: for what is not known.
        line: the line of the script that runs now.
    """

    _live: dict[int, Hollow]  # type: ignore[assignment]

    def __init__(self, kernels: Kernels, policies: Policies, line: Callable[[], str]) -> None:
        super().__init__(kernels)
        self.policies = policies
        self.line = line
        self.lines: list[str] = []
        self.served: Callable[[int], None] | None = None
        self.promised: dict[int, Any] = {}
        """Constants on ``meta`` by their storage, with the operator that makes them."""
        self.forked: Callable[[], None] | None = None
        self.begins: Callable[[], None] | None = None
        """Called before the first block."""
        self.cards: dict[int, int] = {}
        """Of the blocks that are on another card than the first, which."""
        self._card: int | None = None

    # -- what storages are ---------------------------------------------------------------------------------------

    def hollow(self, tensor: torch.Tensor) -> Hollow | None:
        """What is known of a tensor's storage; None for a real tensor, or one the script has on ``meta``."""
        return self._live.get(tensor.untyped_storage()._cdata) if has_no_data(tensor) else None

    def found(self, tensor: torch.Tensor) -> Hollow | None:
        """What is known of the storage of a tensor without data, also within those of ``torch.vmap``."""
        try:
            return self._live.get(tensor.untyped_storage()._cdata)
        except NotImplementedError:
            return self.found(under_transforms(tensor))

    def place(self, tensor: torch.Tensor) -> Place | None:
        """Where a tensor without data says that it is."""
        found = self.found(tensor)
        return None if found is None else found.place

    def put(self, tensor: torch.Tensor, place: Place, source: str = "") -> Hollow:
        """Say where a tensor without data is."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        found = self._live.get(key)
        if found is not None:
            return found
        nbytes = storage.nbytes()
        block = self.new_block(nbytes, source) if place == "card" and nbytes else FOREIGN
        return self._remembered(storage, key, block, place)

    def _remembered(self, storage: torch.UntypedStorage, key: int, block: int, place: Place) -> Hollow:
        watch = Hollow(storage, self._died)  # type: ignore[arg-type]
        watch.block, watch.key, watch.place = block, key, place
        watch.card = Shown.current if self._card is None else self._card
        watch.values, watch.uniform, watch.assumed = None, None, False
        self._live[key] = watch
        return watch

    def _follow(self, storage: torch.UntypedStorage, key: int, block: int) -> None:
        self._remembered(storage, key, block, "card")

    def new_block(self, nbytes: int, source: str, kind: MemoryKind | None = None) -> int:
        """Write down an allocation, with the script's line; raises PyTorch's error where the card is full."""
        if self.forked is not None:
            self.forked()
        if not self.lines and self.begins is not None:
            self.begins()
        block = super().new_block(nbytes, source, kind)
        self.lines.append(self.line())
        if number := Shown.current if self._card is None else self._card:
            self.cards[block] = number
        if self.served is not None:
            self.served(block)
        return block

    def stream_of(self, block: int) -> int:
        """The stream that a block was asked for on."""
        del block
        return 0
