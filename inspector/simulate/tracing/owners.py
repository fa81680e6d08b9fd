"""What a tensor turns out to be: of which module, where none was running, and whether it outlives its stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from inspector.memory_kinds import MemoryKind
from inspector.simulate.events import Alloc, Free, Mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from inspector.simulate.events import Event, Instant


def made_of(source: object, out: object) -> Iterator[tuple[torch.Tensor | None, object]]:
    """What an operator made, each beside what it was made of; a list is made of a list item by item.

    Of one tensor that was made of several it is not said.
    """
    if not isinstance(source, (list, tuple)):
        yield (source if isinstance(source, torch.Tensor) else None), out
    elif isinstance(out, (list, tuple)) and len(out) == len(source):
        for one, made in zip(source, out, strict=True):
            yield from made_of(one, made)
    else:
        yield None, out


def written(
    entries: Iterable[int | Instant],
    log: Sequence[int | Instant],
    rows: Sequence[tuple[int, MemoryKind, str, str]],
    labels: Mapping[int, tuple[MemoryKind, str]],
    copies: Mapping[int, int],
) -> tuple[Event, ...]:
    """The events that some entries of a log are, each block as what it turned out to be.

    Args:
        entries: those of the program.
        log: blocks by their numbers as they are allocated, ``~n`` where block n is freed, and what else happened.
        rows: of each block its bytes, kind, module and source, as far as they were known when it was made.
        labels: kinds and modules that were said later.
        copies: of a block the one that took its place.
    """
    short_lived = _dead_in_their_stage(log)

    def event(entry: int | Instant) -> Event:
        if not isinstance(entry, int):
            return entry
        if entry < 0:
            return Free(~entry)
        nbytes, kind, module, source = rows[entry]
        if label := labels.get(entry):
            kind, module = label[0], label[1] or module  # `making` names no module: then it is the one that ran
        elif kind is MemoryKind.ACTIVATIONS and entry in short_lived:
            kind = MemoryKind.TEMPORARIES
        if not module and entry in copies:
            module = labels.get(_last(entry, copies), (kind, ""))[1]
        return Alloc(entry, nbytes, kind, module, source)

    return tuple(map(event, entries))


def _last(block: int, copies: Mapping[int, int]) -> int:
    while (after := copies.get(block)) is not None:
        block = after
    return block


def _dead_in_their_stage(log: Sequence[int | Instant]) -> set[int]:
    """Blocks that do not outlive the stage they were born in: not saved for the backward pass."""
    born: set[int] = set()
    short: set[int] = set()
    for entry in log:
        if isinstance(entry, Mark):
            born = set()
        elif isinstance(entry, int) and entry >= 0:
            born.add(entry)
        elif isinstance(entry, int) and ~entry in born:
            short.add(~entry)
    return short
