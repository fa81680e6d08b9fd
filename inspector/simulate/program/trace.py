"""What tracing a training gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inspector.simulate.device.questions import Questions
    from inspector.simulate.events import Event
    from inspector.simulate.reports.saved import Saved


@dataclass(frozen=True, slots=True)
class Trace:
    """What was traced. ``paged_bytes`` is optimizer state in managed memory, in none of the events.

    A card that gives the same answers to the ``questions`` has the same trace. ``inputs`` says what a micro-batch is
    where it is not the tokens of a language model; ``saved`` is what was written, where something was.
    """

    events: tuple[Event, ...]
    paged_bytes: int = 0
    notes: tuple[str, ...] = ()
    questions: Questions = field(default_factory=dict)
    inputs: str = ""
    saved: Saved | None = None
