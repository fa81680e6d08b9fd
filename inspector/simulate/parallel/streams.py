"""A card's streams without a card: which one is current, and what waits for what; told to the tracer.

Communication libraries ask a device for streams and events (``torch.cuda.Stream``, ``Event``). Here they are numbers:
an allocation is of the stream that is current, and the host's waits are written down, as blocks that another stream
used come free by them (``record_stream``, c10/cuda/CUDACachingAllocator.cpp).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Streams:
    """In the place of ``torch.cuda``, for the device of the traced tensors.

    ``waited`` is told of every stream that the host waits for, and up to which mark of it.
    """

    def __init__(self, passed: Callable[[int], int], waited: Callable[[int], None], device: str, cards: int) -> None:
        self._passed, self._waited = passed, waited
        self._device, self._cards = device, cards
        self.names = ["compute"]
        self.current = CardStream(self, 0)
        self._default = self.current

    # The names of ``torch.cuda`` that the wrappers ask for.

    def Stream(self, *_args: object, **_kwargs: object) -> CardStream:  # noqa: N802 -- as there
        """A further stream."""
        self.names.append("communication")
        return CardStream(self, len(self.names) - 1)

    def Event(self, *_args: object, **_kwargs: object) -> CardEvent:  # noqa: N802 -- as there
        """A mark that can be put on a stream."""
        return CardEvent(self)

    def current_stream(self, _device: object = None) -> CardStream:
        """The stream that allocates now."""
        return self.current

    def default_stream(self, _device: object = None) -> CardStream:
        """The stream that a program begins on."""
        return self._default

    @contextmanager
    def stream(self, stream: CardStream | None) -> Iterator[None]:
        """What is made in here is of this stream."""
        before, self.current = self.current, stream or self.current
        try:
            yield
        finally:
            self.current = before

    def synchronize(self, _device: object = None) -> None:
        """The host waits for all of them."""
        for number in range(len(self.names)):
            self._waited(self._passed(number))

    def is_available(self) -> bool:
        """There is one."""
        return True

    def is_initialized(self) -> bool:
        """It is in use."""
        return True

    def device_count(self) -> int:
        """The cards of a machine."""
        return self._cards

    def current_device(self) -> Any:
        """That of the tensors, which has no number."""
        return torch.device(self._device)

    def set_device(self, _device: object) -> None:
        """There is no other."""

    def record(self, stream: CardStream) -> int:
        """Put a mark on a stream, and say its number."""
        return self._passed(stream.number)

    def wait(self, mark: int) -> None:
        """The host waits until a stream has come to a mark."""
        self._waited(mark)


class CardStream:
    """One stream, by its number; 0 is the program's own."""

    # As ``torch.Stream`` says of one on the first CUDA card: FSDP2 of PyTorch 2.15 hands them to an operator.
    device_type, device_index = 1, 0

    def __init__(self, streams: Streams, number: int) -> None:
        self._streams = streams
        self.number = self.stream_id = number

    def record_event(self, event: CardEvent | None = None) -> CardEvent:
        """A mark on this stream."""
        event = event or CardEvent(self._streams)
        event.record(self)
        return event

    def wait_event(self, _event: object) -> None:
        """The card's business: the host goes on."""

    def wait_stream(self, _stream: object) -> None:
        """The card's business: the host goes on."""

    def synchronize(self) -> None:
        """The host waits for all that the stream was given."""
        self.record_event().synchronize()

    def query(self) -> bool:
        """Whether it is done: a card that is never ahead of its host is not."""
        return False


class CardEvent:
    """A mark on a stream."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._mark: int | None = None

    def record(self, stream: CardStream | None = None) -> CardEvent:
        """Put it on a stream, the current one where none is said."""
        self._mark = self._streams.record(stream or self._streams.current)
        return self

    def wait(self, _stream: object = None) -> None:
        """The card's business: the host goes on."""

    def synchronize(self) -> None:
        """The host waits for it."""
        if self._mark is not None:
            self._streams.wait(self._mark)

    def query(self) -> bool:
        """Whether it has passed."""
        return False
