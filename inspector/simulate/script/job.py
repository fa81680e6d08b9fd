"""What the parent tells the child, and what the child tells the parent: two small files in a folder of the run."""

from __future__ import annotations

import json
from array import array
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from inspector.memory_kinds import MemoryKind
from inspector.simulate.events import Alloc, EmptyCache, Event, Free, Mark

if TYPE_CHECKING:
    from pathlib import Path

JOB, RESULT, ROWS, LOG = "job.json", "result.json", "rows.bin", "log.bin"


@dataclass(frozen=True, slots=True)
class Job:
    """A run that is to be made. Paths are absolute.

    ``kind`` says what ``target`` is: the ``file`` of a script, the name of a ``module``, or the file of ``code`` whose
    lines are said to be those of ``shown``. ``card`` is a catalogued name or a size (``16GiB``), ``others`` more cards
    that may share the trace. ``worst`` puts the longest samples first. ``edits`` change words of the script's
    text, or of modules that it imports
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
    """What came of a run: its events, and what is to be known about them."""

    events: tuple[Event, ...]
    exit_code: int
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


def write_outcome(
    folder: Path, rows: list[tuple[int, str, str, str, str]], log: list[Any], said: dict[str, Any]
) -> None:
    """The child's answer. ``rows`` are size, kind, module, source and line of each block; ``log`` as the tracer has it.

    Numbers go as 8 bytes each and words once: a run of a few minutes has hundreds of thousands of blocks.
    """
    words: dict[str, int] = {}

    def number(word: str) -> int:
        return words.setdefault(word, len(words))

    flat = array("q")
    for nbytes, *texts in rows:
        flat.append(nbytes)
        flat.extend(number(text) for text in texts)
    marks: list[list[Any]] = []
    order = array("q")
    # Above all blocks: marks by their place in a list of their own, and one number for an emptied cache.
    for entry in log:
        if isinstance(entry, int):
            order.append(entry)
        elif isinstance(entry, Mark):
            order.append(_MARKS + len(marks))
            marks.append([entry.stage, entry.step, entry.reset])
        else:
            order.append(_EMPTIED)
    (folder / ROWS).write_bytes(flat.tobytes())
    (folder / LOG).write_bytes(order.tobytes())
    text = json.dumps({**said, "words": list(words), "marks": marks})
    # Last, so that what is there is whole.
    (folder / RESULT).write_text(text, encoding="utf-8")


_MARKS = 1 << 40
_EMPTIED = 1 << 50


def read_outcome(folder: Path) -> Outcome | None:
    """What the child wrote; None where it did not come that far."""
    if not (folder / RESULT).exists():
        return None
    said = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    words: list[str] = said.pop("words")
    marks = [Mark(*entry) for entry in said.pop("marks")]
    rows, order = array("q"), array("q")
    rows.frombytes((folder / ROWS).read_bytes())
    order.frombytes((folder / LOG).read_bytes())
    events: list[Event] = []
    for entry in order:
        if entry == _EMPTIED:
            events.append(EmptyCache())
        elif entry >= _MARKS:
            events.append(marks[entry - _MARKS])
        elif entry < 0:
            events.append(Free(~entry))
        else:
            nbytes, *texts = rows[entry * 5 : entry * 5 + 5]
            kind, module, source, line = (words[text] for text in texts)
            events.append(Alloc(entry, nbytes, MemoryKind(kind), module, source, line))
    lists = {name: tuple(tuple(item) if isinstance(item, list) else item for item in value)
             for name, value in said.items() if isinstance(value, list)}  # fmt: skip
    return Outcome(events=tuple(events), **{**said, **lists})
