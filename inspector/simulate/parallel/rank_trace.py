"""What is traced of one rank among several: its events, what is cut and gathered together, and what it sends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from inspector.simulate.device.questions import Questions
    from inspector.simulate.events import Event
    from inspector.simulate.parallel.distinct import Cut

CollectiveKind = Literal["all-gather", "reduce-scatter", "all-reduce", "broadcast", "all-to-all", "send", "other"]


@dataclass(frozen=True, slots=True)
class Unit:
    """Weights that are gathered, and let go, as one. All in bytes.

    ``name`` is the path of the module that was wrapped ("" for the root), ``cls`` its class. ``whole_bytes`` is what
    the unit takes while it is gathered, ``rank_bytes`` what this rank keeps of it, ``trainable_bytes`` what of
    ``whole_bytes`` is trained. ``model_bytes`` is what the whole model has of it, where that is more
    than is on one card at any time (tensor parallelism), else 0.
    """

    name: str
    cls: str
    whole_bytes: int
    rank_bytes: int
    trainable_bytes: int = 0
    model_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Collective:
    """Communications of one kind in one group, over a steady step.

    ``nbytes`` is the sum of the whole messages: what all-gather gives and reduce-scatter and all-reduce take, in bytes.
    ``group_size`` is how many ranks take part, ``times`` how often a step does it.
    """

    kind: CollectiveKind
    nbytes: int
    group_size: int
    times: int


@dataclass(frozen=True, slots=True)
class RankTrace:
    """What loading and training allocate and free on the card of one rank.

    ``streams`` names the streams of the events, 0 first. ``replicated_bytes`` is what every rank keeps whole, in no
    unit. ``host_bytes`` is the most that this rank has in the machine's memory: the model until it is cut, or offloaded
    weights and state; ``paged_bytes`` is optimizer state in managed memory. ``steps`` were traced; the last is steady.
    ``cuts`` are the lengths that are cut over ranks, by which ranks differ.
    """

    rank: int
    world_size: int
    events: tuple[Event, ...] = field(repr=False)
    steps: int
    units: tuple[Unit, ...] = ()
    replicated_bytes: int = 0
    collectives: tuple[Collective, ...] = ()
    streams: tuple[str, ...] = ("compute",)
    host_bytes: int = 0
    paged_bytes: int = 0
    notes: tuple[str, ...] = ()
    questions: Questions = field(default_factory=dict)
    inputs: str = ""
    cuts: tuple[Cut, ...] = ()
