"""What a user's script takes: the report of its dry run, with a verdict for each card."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from inspector.reporting import Report
from inspector.simulate.on_card import OnCard, Peaks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.gpus import Gpu
    from inspector.simulate.allocator.settings import AllocatorSettings
    from inspector.simulate.allocator.timeline import StagePeak
    from inspector.simulate.events import Event, Stage
    from inspector.simulate.on_card import Verdict
    from inspector.simulate.reports.at_peak import KindLine, LiveTensor, Point, Share
    from inspector.simulate.script.advice import ScriptAdvice
    from inspector.simulate.script.ranks import Ranks


@dataclass(frozen=True, slots=True)
class CardVerdict:
    """What one card says of the script. ``same_trace`` is whether the first card's run answers for it.

    ``error`` is what ended the script there, as ``RuntimeError: ...``: its figures are those up to it.
    """

    gpu: Gpu
    peaks: Peaks
    same_trace: bool
    exit_code: int = 0
    error: str = ""

    @property
    def verdict(self) -> Verdict:
        """``fits``, ``tight`` or ``does not fit``."""
        return self.peaks.verdict


@dataclass(frozen=True, slots=True)
class StageLine:
    """A stage as it was found, over all the times it ran: its highest bytes, and how often it ran.

    ``name`` is ``load``, ``adapters``, ``first step``, ``steady step``, ``evaluation``, ``generation`` or ``save``.
    """

    name: str
    peak_allocated: int
    peak_reserved: int
    times: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that the card refused with ``--oom``: the script's line and the bytes that were asked for."""

    line: str
    nbytes: int


@dataclass(frozen=True)
class ScriptReport(OnCard, Report):
    """A user's script, dry run. All sizes are bytes.

    ``peaks`` is of the first card, ``verdicts`` of every card that was named, in their order; without one there is
    none, and the figures are those on an A100 of 80 GB. ``script_exit_code`` is the script's own. ``lines_at_peak``
    has what was alive at the peak by the script's lines that made it. ``assumed`` are policies that stood for values
    nobody computed, ``skipped`` what was not done, ``files`` what the script saved, by its size. ``refusals`` are
    those of ``--oom``. ``stopped_after`` is 0, or the seconds after which ``--timeout`` ended the script: all figures,
    and the verdicts, are then of what it did until there. ``ranks`` are the processes of a launched script, or the
    cards of one that has several; all other figures are then those of the heaviest. ``advice`` is for ``advised_card``,
    the first that is too small. ``capacity`` is where memory ended for the script under ``--oom``, None without.
    """

    kind: ClassVar[str] = "script"

    script: str
    model: str
    gpu: Gpu
    allocator: AllocatorSettings
    peaks: Peaks
    verdicts: tuple[CardVerdict, ...]
    script_exit_code: int
    error: str
    steps: int
    steady_allocated_bytes: int
    paged_bytes: int
    peak_stage: Stage
    peak_step: int
    stages: tuple[StagePeak, ...]
    found_stages: tuple[StageLine, ...]
    alive_at_peak: tuple[Share, ...]
    modules_at_peak: tuple[Share, ...]
    lines_at_peak: tuple[Share, ...]
    largest_at_peak: tuple[LiveTensor, ...]
    timeline: tuple[Point, ...] = field(repr=False)
    timeline_kinds: tuple[KindLine, ...] = field(repr=False)
    num_events: int
    versions: Mapping[str, str]
    assumed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    files: tuple[tuple[str, int], ...] = ()
    refusals: tuple[Refusal, ...] = ()
    advice: ScriptAdvice | None = None
    advised_card: str = ""
    ranks: Ranks | None = None
    stopped_after: float = 0.0
    capacity: int | None = None
    events: tuple[Event, ...] = field(default=(), repr=False)

    @property
    def ended_by_card(self) -> bool:
        """Whether a card refused what the script asked for, and that ended it."""
        return bool(self.script_exit_code and self.refusals and self.error.startswith("OutOfMemoryError"))

    @property
    def exit_code(self) -> int:
        """What the command ends with: the script's own code where it is not 0, else 1 where a card is too small."""
        if self.script_exit_code:
            return self.script_exit_code
        return int(any(not each.peaks.fits for each in self.verdicts))
