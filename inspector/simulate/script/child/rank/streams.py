"""``torch.cuda.Stream`` and ``Event`` of a rank: who allocates, and what the host waits for, are told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from inspector.simulate.parallel.streams import CardEvent, CardStream
from inspector.simulate.script.child.places import card
from inspector.simulate.script.child.replaced import replace

if TYPE_CHECKING:
    import torch

    from inspector.simulate.script.child.rank.tracer import RankCardTracer


def install(tracer: RankCardTracer) -> None:
    """Put all of it in its place."""
    streams = tracer.streams

    class Stream(CardStream):
        """A further stream of the card."""

        priority = 0

        def __init__(self, *_: object, **__: object) -> None:
            streams.names.append("communication")
            super().__init__(streams, len(streams.names) - 1)
            self.cuda_stream = self.number
            self.device = card()
            self.device_index = self.device.index

        def is_capturing(self) -> bool:
            return False

        def __enter__(self) -> Stream:
            self._before, streams.current = streams.current, self
            return self

        def __exit__(self, *_: object) -> None:
            streams.current = self._before

        def __eq__(self, other: object) -> bool:
            return isinstance(other, CardStream) and other.number == self.number

        def __hash__(self) -> int:
            return self.number

    class Event(CardEvent):
        """A mark that can be put on a stream; the time of this machine, in milliseconds between two."""

        def __init__(self, *_: object, **__: object) -> None:
            super().__init__(streams)
            self._at = time.perf_counter()

        def record(self, stream: CardStream | None = None) -> CardEvent:
            self._at = time.perf_counter()
            return super().record(stream)

        def elapsed_time(self, other: Event) -> float:
            return (other._at - self._at) * 1000

    default: Any = Stream()
    streams.names.pop()
    default.number = default.cuda_stream = default.stream_id = 0
    streams.current = streams._default = default

    def put(stream: CardStream) -> None:
        streams.current = stream

    def used(tensor: torch.Tensor, stream: CardStream) -> None:
        tracer.used_on(tensor, stream.number)

    for name, ours in {
        "Stream": Stream,
        "Event": Event,
        "current_stream": streams.current_stream,
        "default_stream": streams.default_stream,
        "stream": streams.stream,
        "StreamContext": streams.stream,
        "set_stream": put,
        "synchronize": streams.synchronize,
    }.items():
        replace(f"torch.cuda.{name}", ours)
    for name in ("current_stream", "set_stream", "synchronize"):
        ours = {"set_stream": put}.get(name) or getattr(streams, name)
        replace(f"torch.accelerator.{name}", ours, optional=True)
    replace("torch.Tensor.record_stream", used)
