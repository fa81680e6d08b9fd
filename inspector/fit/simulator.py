"""What a simulated setup takes on a card, kept on disk, and the simulator that is asked for one setup after another."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.gpus import Verdict, verdict
from inspector.simulate.allocator.settings import AllocatorSettings
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.setup.finetuning import TrainSetup, resolve_setup
from inspector.store.answers import answered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inspector.gpus import Gpu
    from inspector.simulate.allocator.timeline import Timeline
    from inspector.simulate.events import Event


MICRO_BATCHES = 8
"""Of more accumulated micro-batches than this, a change or a candidate is simulated with this many, one more when they
are odd (`inspector.simulate.finetuning.few_micro_batches`); what a user asks for, with twice as many.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one simulated setup takes on a card, in bytes.

    ``margin_bytes`` is usable memory less the process at its peak: below zero it does not fit, unless giving cached
    memory back saves it (``retried``), which is tight. The verdict comes from the bytes and is never rounded.
    """

    peak_allocated: int
    peak_reserved: int
    process_bytes: int
    usable_bytes: int
    fits: bool
    retried: bool

    @property
    def margin_bytes(self) -> int:
        """What the card has left at the peak."""
        return self.usable_bytes - self.process_bytes

    @property
    def allocated_margin_bytes(self) -> int:
        """What the card would have left if nothing were held but tensors: below zero nothing can make it fit."""
        return self.margin_bytes + self.peak_reserved - self.peak_allocated

    @property
    def verdict(self) -> Verdict:
        """``fits``, ``tight`` or ``does not fit``; see `inspector.gpus.verdict`."""
        return verdict(self.fits, self.margin_bytes, self.usable_bytes, gave_back=self.retried)


@dataclass(frozen=True, slots=True)
class Refused:
    """A setup that cannot be simulated, and why: an answer too, as long as the code and the libraries stay."""

    message: str
    hint: str


def outcome_on(
    events: tuple[Event, ...], gpu: Gpu, settings: AllocatorSettings, line: Timeline | None = None
) -> Outcome:
    """What traced events take on a card: replayed without a limit, and within the card when that is too much.

    ``line`` is the replay without a limit, when it is there already.
    """
    line = line or replay(events, settings)
    process = line.peak_reserved + gpu.context_bytes
    fits, retried = process <= gpu.usable_bytes, False
    if not fits:
        fits = retried = replay(events, settings, capacity=gpu.available_bytes).out_of_memory is None
    return Outcome(line.peak_allocated, line.peak_reserved, process, gpu.usable_bytes, fits, retried)


def kept_outcome(
    config: Mapping[str, Any], setup: TrainSetup, traced_on: Gpu, gpu: Gpu, make: Callable[[], Outcome]
) -> Outcome:
    """The kept outcome of a setup, or the one that is made now.

    Args:
        config: content of the model's ``config.json``.
        setup: how it is trained; the card it names does not matter.
        traced_on: the card whose step is traced: its capability and multiprocessors decide which kernels run.
        gpu: the card whose memory it is replayed on.
        make: simulates it; an InspectorError is kept as well.

    Raises InspectorError when it cannot be simulated.
    """

    def answer() -> Outcome | Refused:
        try:
            return make()
        except InspectorError as error:
            if "memory" in str(error.__cause__):  # this machine's, now: no lasting answer
                raise
            return Refused(error.message, error.hint)

    card = (traced_on.capability, traced_on.multiprocessors, gpu.usable_bytes, gpu.context_bytes)
    found = answered(("outcome", config, replace(setup, gpu=""), card), (Outcome, Refused), answer)
    if isinstance(found, Refused):
        raise InspectorError(found.message, hint=found.hint)
    return found


class Simulator:
    """One model on one card: setups in, outcomes out, each simulated once."""

    def __init__(self, config: Mapping[str, Any], gpu: Gpu) -> None:
        self.config = config
        self.gpu = gpu
        self.known: dict[TrainSetup, Outcome] = {}

    def outcome(self, setup: TrainSetup) -> Outcome:
        """What a setup takes on the card: its step traced and replayed. Raises InspectorError when it cannot be."""
        if setup not in self.known:
            self.known[setup] = kept_outcome(self.config, setup, self.gpu, self.gpu, lambda: self._simulated(setup))
        return self.known[setup]

    def _simulated(self, setup: TrainSetup) -> Outcome:
        from inspector.simulate.finetuning import few_micro_batches, trace

        events = trace(self.config, few_micro_batches(setup, MICRO_BATCHES), self.gpu).events
        return outcome_on(events, self.gpu, AllocatorSettings(expandable_segments=setup.expandable_segments))

    def changed(self, setup: TrainSetup, **settings: Any) -> TrainSetup:
        """A setup with other settings. Raises InspectorError when they contradict the rest."""
        return resolve_setup({**asdict(setup), **settings}).setup
