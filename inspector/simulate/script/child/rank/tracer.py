"""The tracer of one rank of a script: its streams, the parts of tensors that it has, and what it sends and is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.tensor import DTensor

from inspector.simulate.parallel.collectives import sent
from inspector.simulate.parallel.streamed import Streamed
from inspector.simulate.script.child.card_tracer import CardTracer
from inspector.simulate.script.child.rank.exchanged import Exchange, flattened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch._ops import OpOverload

    from inspector.simulate.script.child.storages import Hollow, Place
    from inspector.simulate.tracing.tracer import _Watch

aten = torch.ops.aten


class RankCardTracer(Streamed, CardTracer):
    """As `CardTracer`, in a script that is one of several ranks."""

    def begins_as_rank(self, cards: int, exchange: Exchange) -> None:
        """Be one of ``cards`` on a machine."""
        self.streamed("cuda", cards)
        self.devices = frozenset({"meta", "cuda"})
        self.exchange = exchange
        self.units: dict[str, Sequence[Any]] = {}
        self._host: dict[int, int] = {}
        self.host_bytes = 0
        """The most that was in the machine's memory without data: the model until it is moved or cut."""
        self.within_a_wrapper = 0
        """Above 0 what C++ makes on ``meta`` is on the card: the buckets of DistributedDataParallel."""

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if types and any(issubclass(cls, DTensor) for cls in types):
            return NotImplemented  # it works on the rank's own part with operators that are seen by and by
        if (message := sent(func, args)) is not None:
            self.messages[self.step][message] += 1
        if func.namespace == "c10d":
            self.transient([flattened(func, args)], "c10d::ProcessGroupNCCL")
            return self.exchange.done(func, args, kwargs or {}, self)
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _promise(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.within_a_wrapper:
            return self._made(func, args, kwargs)
        return super()._promise(func, args, kwargs)

    def _remembered(self, storage: torch.UntypedStorage, key: int, block: int, place: Place) -> Hollow:
        if place == "host":
            self._host[key] = storage.nbytes()
            self.host_bytes = max(self.host_bytes, sum(self._host.values()))
        return super()._remembered(storage, key, block, place)

    def _died(self, watch: _Watch) -> None:
        self._host.pop(watch.key, None)
        super()._died(watch)

    def stream_of(self, block: int) -> int:
        """The stream that a block was asked for on."""
        return self._asked_on.get(block, 0)

    def resized(self, storage: torch.UntypedStorage) -> None:
        """As of `Streamed`, and what was known of it is not any more."""
        found = self._live.get(storage._cdata)
        if found is None or found.place == "card":
            super().resized(storage)
        if found is not None:
            found.values = found.uniform = None

    # -- tensors of which this rank has a part ---------------------------------------------------------------------

    def hollow(self, tensor: torch.Tensor) -> Hollow | None:
        """As of `KnownValues`, of this rank's part."""
        return super().hollow(own(tensor))

    def found(self, tensor: torch.Tensor) -> Hollow | None:
        """As of `KnownValues`, of this rank's part."""
        return super().found(own(tensor))

    def _known(self, tensor: torch.Tensor) -> torch.Tensor | None:
        part = own(tensor)
        return super()._known(part) if part.shape == tensor.shape else None


def own(tensor: torch.Tensor) -> torch.Tensor:
    """This rank's part of a tensor that is cut over ranks, or what is in one that waits for others."""
    while (inner := getattr(tensor, "_local_tensor", None)) is not None or (
        type(tensor).__name__ == "AsyncCollectiveTensor" and (inner := getattr(tensor, "elem", None)) is not None
    ):
        tensor = inner
    return tensor
