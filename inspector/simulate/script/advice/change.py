"""One change of a script: how its author would write it, what it costs, what it can make smaller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.memory_kinds import MemoryKind as Kind

if TYPE_CHECKING:
    from inspector.simulate.script.check.report import Place
    from inspector.simulate.script.overrides import Override


@dataclass(frozen=True, slots=True)
class ScriptChange:
    """A change that may help.

    Attributes:
        what: as it is written in the script or on its command line.
        cost: what is lost by it.
        place: the line that it changes; None for what is typed before the script or behind it.
        override: how a second run is told.
        of: the kinds of memory that it can make smaller; empty for memory that is held, and not used.
        same_as: a word for what it is about: of two changes of one word only one is ever taken.
    """

    what: str
    cost: str
    place: Place | None
    override: Override
    of: frozenset[Kind]
    same_as: str


PER_TOKEN = frozenset(
    {Kind.ACTIVATIONS, Kind.RECOMPUTATION, Kind.LOGITS_AND_LOSS, Kind.TEMPORARIES, Kind.INPUTS, Kind.CACHE}
)
"""What grows with the samples and their lengths."""

SAVED = frozenset({Kind.ACTIVATIONS})
STATE = frozenset({Kind.OPTIMIZER_STATE})
WEIGHTS = frozenset({Kind.BASE_WEIGHTS})
TRAINED = frozenset({Kind.GRADIENTS, Kind.OPTIMIZER_STATE, Kind.ADAPTERS})
