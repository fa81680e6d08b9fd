"""Blocks that are let go while another stream still works on them: free only when that stream is done.

Follows ``recordStream``, ``insert_events`` and ``process_events``, pytorch ``c10/cuda/CUDACachingAllocator.cpp``. When
a card is done with what it was given is not known here: a replay of a card that is behind takes it to be as late as the
host lets it be, and done where the host waited for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.simulate.allocator.blocks import Block


class Deferred:
    """Who uses which block, which of them wait to be free, and how far each stream is known to have come."""

    def __init__(self) -> None:
        self.uses: dict[Block, set[int]] = {}
        self._waiting: list[tuple[Block, dict[int, int]]] = []
        self._marks: dict[int, tuple[int, int]] = {}
        self._time = 0

    def use(self, block: Block, stream: int) -> None:
        """``record_stream``: nothing where it is the block's own stream."""
        if stream != block.pool.stream:
            self.uses.setdefault(block, set()).add(stream)

    def let_go(self, block: Block) -> bool:
        """Whether a block that is freed has to wait."""
        streams = self.uses.pop(block, None)
        if not streams:
            return False
        self._time += 1
        self._waiting.append((block, dict.fromkeys(streams, self._time)))
        return True

    def mark(self, number: int, stream: int) -> None:
        """An event is recorded on a stream."""
        self._time += 1
        self._marks[number] = stream, self._time

    def wait(self, number: int) -> Iterator[Block]:
        """The host waited for a mark: the blocks that are free by it."""
        stream, time = self._marks.pop(number, (0, -1))
        still: list[tuple[Block, dict[int, int]]] = []
        done: list[Block] = []
        for block, streams in self._waiting:
            if streams.get(stream, time + 1) <= time:
                del streams[stream]
            if streams:
                still.append((block, streams))
            else:
                done.append(block)
        self._waiting = still
        yield from done

    def wait_for_all(self) -> Iterator[Block]:
        """Everything is waited for (``synchronize_and_free_events``)."""
        done, self._waiting = self._waiting, []
        yield from (block for block, _ in done)
