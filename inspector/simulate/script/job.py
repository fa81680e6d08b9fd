"""What the parent tells the child, and what the child tells the parent: two small files in a folder of the run."""

from __future__ import annotations

import json
from array import array
from dataclasses import asdict, astuple, dataclass, field
from typing import TYPE_CHECKING, Any

from inspector.memory_kinds import MemoryKind
from inspector.simulate.events import Alloc, EmptyCache, Free, Mark, StreamMark, StreamUse, StreamWait

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inspector.simulate.events import Event, Instant

JOB, RESULT, ROWS, LOG = "job.json", "result.json", "rows.bin", "log.bin"
SAID = "said.json"
"""What a rank sent, beside its outcome."""


@dataclass(frozen=True, slots=True)
class Job:
    """A run that is to be made. Paths are absolute.

    ``kind`` says what ``target`` is: the ``file`` of a script, the name of a ``module``, or the file of ``code`` whose
    lines are said to be those of ``shown``. ``card`` is a catalogued name or a size (``16GiB``), ``others`` more cards
    that may share the trace, ``cards`` how many of it the machine has. ``launch`` are the words of the launcher that
    starts it as one of ``world_size`` ranks, ``rank`` is which (below zero from the end), ``heard`` the file of what
    earlier ranks sent. ``worst`` puts the longest samples first.
    ``edits`` change words of the script's text, or of modules that it imports
    (`inspector.simulate.script.overrides`).
    """

    kind: str
    target: str
    args: tuple[str, ...]
    card: str
    folder: str
    others: tuple[str, ...] = ()
    shown: str = ""
    vram: bool = False
    oom: bool = False
    steps: int = 0
    ends: bool = False
    network: bool = False
    write: bool = False
    assume: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    lengths: tuple[int, ...] = ()
    worst: bool = False
    cards: int = 1
    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    on_a_machine: int = 1
    launch: tuple[str, ...] = ()
    heard: str = ""
    edits: tuple[dict[str, Any], ...] = ()

    def write_to(self, folder: Path) -> Path:
        """Into the run's folder; returns the file."""
        path = folder / JOB
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Job:
        """As `write_to` wrote it."""
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        whole: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in said.items()
        }
        return cls(**whole)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run: its events, and what is to be known about them.

    ``cards`` has the card of every block that is not on the first. Of one rank among several ``card`` is its own,
    ``units`` and ``sent`` are those of `inspector.simulate.parallel.rank_trace`, field by field.
    """

    events: tuple[Event, ...]
    exit_code: int
    cards: Mapping[int, int] = field(default_factory=dict)
    card: int = 0
    launched: bool = False
    rank: int = 0
    world_size: int = 1
    on_a_machine: int = 1
    units: tuple[tuple[str, str, int, int, int], ...] = ()
    sent: tuple[tuple[str, int, int, int], ...] = ()
    replicated_bytes: int = 0
    host_bytes: int = 0
    streams: tuple[str, ...] = ("compute",)
    error: str = ""
    ours: bool = False
    paged_bytes: int = 0
    steps: int = 0
    assumed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refused: tuple[tuple[str, int], ...] = ()
    alike: tuple[str, ...] = ()
    model: str = ""
    alloc_conf: str = ""
    mistake: str = ""
    hint: str = ""
    files: tuple[tuple[str, int], ...] = ()
    full: bool = False
    """Whether the card refused where it was full: memory had an end for the script, and has in what is told of it."""
    stopped_after: float = 0.0
    """Seconds after which its time was up; 0 where it came to its end."""

    @property
    def ended_by_card(self) -> bool:
        """Whether the script ended by a request that the card refused, and not by an error of its own."""
        return bool(self.exit_code and self.refused and self.error.startswith("OutOfMemoryError"))


def write_outcome(
    folder: Path, rows: list[tuple[int, str, str, str, str, int, int]], log: list[Any], said: dict[str, Any]
) -> None:
    """The child's answer. ``rows`` are size, kind, module, source, line, stream and card of each block.

    ``log`` is as the tracer has it. Numbers go as 8 bytes each and words once: a run of a few minutes has hundreds of
    thousands of blocks.
    """
    words: dict[str, int] = {}

    def number(word: str) -> int:
        return words.setdefault(word, len(words))

    flat = array("q")
    for nbytes, kind, module, source, line, stream, card in rows:
        flat.extend((nbytes, *map(number, (kind, module, source, line)), stream, card))
    instants: dict[tuple[Any, ...], int] = {}
    order = array("q")
    # Above all blocks: whatever else happened, by its place in a list of its own.
    for entry in log:
        if isinstance(entry, int):
            order.append(entry)
        else:
            order.append(_INSTANTS + instants.setdefault((type(entry).__name__, *astuple(entry)), len(instants)))
    (folder / ROWS).write_bytes(flat.tobytes())
    (folder / LOG).write_bytes(order.tobytes())
    text = json.dumps({**said, "words": list(words), "instants": list(instants)})
    # Last, so that what is there is whole.
    (folder / RESULT).write_text(text, encoding="utf-8")


_INSTANTS = 1 << 40
_ROW = 7
_OF_NAME: dict[str, type[Instant]] = {
    each.__name__: each for each in (Mark, EmptyCache, StreamUse, StreamMark, StreamWait)
}


def read_outcome(folder: Path) -> Outcome | None:
    """What the child wrote; None where it did not come that far."""
    if not (folder / RESULT).exists():
        return None
    said = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    words: list[str] = said.pop("words")
    instants = [_OF_NAME[name](*fields) for name, *fields in said.pop("instants")]
    rows, order = array("q"), array("q")
    rows.frombytes((folder / ROWS).read_bytes())
    order.frombytes((folder / LOG).read_bytes())
    events: list[Event] = []
    cards: dict[int, int] = {}
    for entry in order:
        if entry >= _INSTANTS:
            events.append(instants[entry - _INSTANTS])
        elif entry < 0:
            events.append(Free(~entry))
        else:
            nbytes, *texts, stream, card = rows[entry * _ROW : (entry + 1) * _ROW]
            kind, module, source, line = (words[text] for text in texts)
            events.append(Alloc(entry, nbytes, MemoryKind(kind), module, source, line, stream))
            if card:
                cards[entry] = card
    lists = {name: tuple(tuple(item) if isinstance(item, list) else item for item in value)
             for name, value in said.items() if isinstance(value, list)}  # fmt: skip
    return Outcome(events=tuple(events), cards=cards, **{**said, **lists})
