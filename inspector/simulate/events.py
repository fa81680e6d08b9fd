"""What a traced step is: a list of allocations and frees, in order. The contract between tracing and replay.

`trace` (real libraries on shapes without data) writes events; `allocator` (pure Python) replays them; reports read
both. An event names bytes as the program asked for them: rounding is the allocator's business.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from inspector.memory_kinds import MemoryKind

Stage = Literal["load", "adapters", "forward", "backward", "optimizer", "evaluation", "generation", "save"]
STAGES: tuple[Stage, ...] = ("load", "forward", "backward", "optimizer", "generation", "evaluation", "save")


@dataclass(frozen=True, slots=True)
class Alloc:
    """A storage comes to life. ``block`` is its number, unique in the trace.

    ``module`` is the path of the module that was running (or that owns the tensor); ``source`` is the operator or
    line of code that made it, such as ``aten::mm`` or ``bitsandbytes::dequantize_4bit``. ``line`` is that of a user's
    script, ``train.py:31``, where one was traced. ``stream`` is that of the card which allocates, 0 the program's own.
    """

    block: int
    nbytes: int
    kind: MemoryKind
    module: str = ""
    source: str = ""
    line: str = ""
    stream: int = 0


@dataclass(frozen=True, slots=True)
class Free:
    """A storage dies."""

    block: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A stage of a step begins. ``step`` counts from 0; loading is step -1. ``reset`` restarts the peak counters."""

    stage: Stage
    step: int
    reset: bool = False


@dataclass(frozen=True, slots=True)
class EmptyCache:
    """Segments with nothing alive go back to the driver: of all cards (``torch.cuda.empty_cache()``), or of one."""

    card: int | None = None


@dataclass(frozen=True, slots=True)
class StreamUse:
    """Another stream than its own works on a block (``record_stream``): freed, it waits for that stream."""

    block: int
    stream: int


@dataclass(frozen=True, slots=True)
class StreamMark:
    """A mark is put on a stream (``torch.cuda.Event.record``); ``number`` is unique in the trace."""

    number: int
    stream: int


@dataclass(frozen=True, slots=True)
class StreamWait:
    """The host waits until a stream has come to a mark (``torch.cuda.Event.synchronize``)."""

    number: int


Instant = Mark | EmptyCache | StreamUse | StreamMark | StreamWait
Event = Alloc | Free | Instant
