"""A tracer with several streams: who allocates, storages that are emptied and filled again, and what is sent."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.memory_kinds import MemoryKind
from inspector.simulate.events import Alloc, StreamMark, StreamUse, StreamWait
from inspector.simulate.parallel.cut import local
from inspector.simulate.parallel.streams import Streams
from inspector.simulate.tracing.tracer import FOREIGN, Tracer

if TYPE_CHECKING:
    from collections.abc import Iterable

    import torch

    from inspector.simulate.events import Event
    from inspector.simulate.parallel.collectives import Message

REFILLED = "torch.UntypedStorage.resize_"


class Streamed(Tracer):
    """As `Tracer`; tensors that are cut over ranks are seen by the part this rank has.

    ``messages`` counts what was sent in each step.
    """

    streams: Streams
    messages: defaultdict[int, Counter[Message]]

    def streamed(self, device: str, cards: int) -> None:
        """Begin with one stream of ``device``, one of ``cards`` in a machine."""
        self._asked_on: dict[int, int] = {}
        self._marks = 0
        self._awaited: set[int] = set()
        self.streams = Streams(self._passed, self._waited, device, cards)
        self.messages = defaultdict(Counter)

    # -- streams -------------------------------------------------------------------------------------------------

    def _passed(self, stream: int) -> int:
        self._marks += 1
        self.log.append(StreamMark(self._marks, stream))
        return self._marks

    def _waited(self, mark: int) -> None:
        self._awaited.add(mark)
        self.log.append(StreamWait(mark))

    def used_on(self, tensor: torch.Tensor, stream: int) -> None:
        """``record_stream``: the block is not free before this stream is done with it."""
        block = self.block_of(tensor)
        if block is not None and stream != self._asked_on.get(block, 0):
            self.log.append(StreamUse(block, stream))

    def new_block(self, nbytes: int, source: str, kind: MemoryKind | None = None) -> int:
        """Write down an allocation on the current stream and return its number."""
        block = super().new_block(nbytes, source, kind)
        if self.streams.current.number:
            self._asked_on[block] = self.streams.current.number
        return block

    # -- storages ------------------------------------------------------------------------------------------------

    def resized(self, storage: torch.UntypedStorage) -> None:
        """A storage was emptied, or filled again: ``UntypedStorage.resize_``, which no operator tells."""
        if storage.device.type not in self.devices:
            return
        watch, nbytes = self._live.get(storage._cdata), storage.nbytes()
        if watch is None:
            if nbytes:
                self._follow(storage, storage._cdata, self.new_block(nbytes, REFILLED))
            return
        label = self._labels.get(watch.block)
        if watch.block >= 0:
            self.log.append(~watch.block)
            if label is None:  # what is emptied before it dies is a copy, to be gathered again
                self._labels[watch.block] = MemoryKind.GATHERED_WEIGHTS, ""
            watch.block = FOREIGN
        if nbytes:
            watch.block = self.new_block(nbytes, REFILLED)
            # The same tensor's, each time that it is filled.
            if label is not None:
                self._labels[watch.block] = label

    def forget_all_but(self, tensors: Iterable[torch.Tensor]) -> None:
        """Go on with these alone, as one who looks only now and sees no others."""
        kept = {local(each).untyped_storage()._cdata for each in tensors}
        for key, watch in self._live.items():
            if key not in kept and watch.block != FOREIGN:
                self.log.append(~watch.block)
                watch.block = FOREIGN

    def block_of(self, tensor: torch.Tensor) -> int | None:
        """The number of the block that this rank's part of a tensor lives in, or None."""
        return super().block_of(local(tensor))

    def ignore(self, tensors: Iterable[Any]) -> None:
        """These tensors exist already, and are not on the simulated device."""
        super().ignore(local(each) for each in tensors)

    def _guess(self, source: str) -> tuple[MemoryKind, str]:
        """Of other streams than the program's are gathered weights and what is sent."""
        kind, module = super()._guess(source)
        if source == REFILLED:
            return MemoryKind.GATHERED_WEIGHTS, module
        return (MemoryKind.COMMUNICATION if self.streams.current.number else kind), module

    # -- the result ----------------------------------------------------------------------------------------------

    def events(self) -> tuple[Event, ...]:
        """Everything that happened, in order; of marks on streams those that the host waited for."""
        return tuple(
            self._on_its_stream(event)
            for event in super().events()
            if not isinstance(event, StreamMark) or event.number in self._awaited
        )

    def _on_its_stream(self, event: Event) -> Event:
        if isinstance(event, Alloc) and (stream := self._asked_on.get(event.block)):
            return replace(event, stream=stream)
        return event
