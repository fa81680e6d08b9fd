"""What a simulated setup takes on a card, kept on disk, and the simulator that is asked for one setup after another."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from inspector.memory_kinds import MemoryKind
from inspector.simulate.allocator.settings import AllocatorSettings
from inspector.simulate.events import Alloc, Free
from inspector.simulate.finetuning import trace
from inspector.simulate.on_card import Peaks, peaks_on
from inspector.simulate.reports.assumed import few_micro_batches
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.simulate.setup.further_models import further_models
from inspector.store.answers import answered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inspector.gpus import Gpu
    from inspector.simulate.program.trace import Trace
    from inspector.simulate.setup.settings import FinetuneSettings
    from inspector.simulate.setup.training import BatchSetup, TrainSetup

BASE = frozenset({MemoryKind.BASE_WEIGHTS, MemoryKind.QUANTIZATION_CONSTANTS})
AT_HAND = 3
"""Traces that are kept: a model of 126 layers has one of 20 MB."""
MICRO_BATCHES = 8
"""Of more accumulated micro-batches than this, a change or a candidate is simulated with this many, one more when they
are odd (`inspector.simulate.finetuning.few_micro_batches`); what a user asks for, with twice as many.
"""


def kept_peaks(config: Mapping[str, Any], settings: FinetuneSettings, gpu: Gpu, make: Callable[[], Peaks]) -> Peaks:
    """The kept peaks of a setup, or the one that is made now.

    Args:
        config: content of the model's ``config.json``.
        settings: how it is trained; the card it names does not matter.
        gpu: the card: its capability and multiprocessors decide which kernels run, its memory what fits.
        make: simulates it; its errors are raised, and nothing is kept then.

    Raises CannotSimulateError when it cannot be simulated.
    """
    card = (gpu.capability, gpu.multiprocessors, gpu.usable_bytes, gpu.context_bytes)
    others = further_models(settings.setup)
    return answered(("peaks", config, *others, settings.setup, settings.expandable_segments, card), Peaks, make)


def kept_inputs(config: Mapping[str, Any], batch: BatchSetup) -> str:
    """What a micro-batch is, in words, where it is not the tokens of a language model; empty where it is."""

    def make() -> str:
        from inspector.architecture import build_model
        from inspector.simulate.program.inputs import described, training_inputs, trains_next_tokens

        model = build_model(config)
        return "" if trains_next_tokens(model) else described(training_inputs(model, batch))

    return answered(("inputs", config, batch), str, make)


class Traces:
    """Traces of a model on a card, the first and the last few at hand: another allocator setting replays the events."""

    def __init__(self) -> None:
        self._last: dict[tuple[TrainSetup, Gpu], Trace] = {}

    def __call__(self, config: Mapping[str, Any], setup: TrainSetup, gpu: Gpu) -> Trace:
        """As `inspector.simulate.finetuning.trace`."""
        key = setup, gpu
        if key not in self._last:
            while len(self._last) >= AT_HAND:
                # The oldest but the first, which is the setup itself: another allocator setting replays it.
                del self._last[list(self._last)[1]]
            self._last[key] = trace(config, setup, gpu)
        return self._last[key]


class Simulator:
    """One model on one card: settings in, peaks out, each simulated once."""

    def __init__(self, config: Mapping[str, Any], gpu: Gpu, traces: Traces | None = None) -> None:
        self.config = config
        self.gpu = gpu
        self.traces = traces or Traces()
        self.known: dict[FinetuneSettings, Peaks] = {}

    def peaks(self, settings: FinetuneSettings) -> Peaks:
        """What settings take on the card: the step traced and replayed. Raises CannotSimulateError."""
        if settings not in self.known:
            make = partial(self._simulated, settings)
            self.known[settings] = kept_peaks(self.config, settings, self.gpu, make)
        return self.known[settings]

    def _simulated(self, settings: FinetuneSettings) -> Peaks:
        events = self.traces(self.config, few_micro_batches(settings.setup, MICRO_BATCHES), self.gpu).events
        return peaks_on(events, self.gpu, AllocatorSettings(expandable_segments=settings.expandable_segments))

    def loaded(self, settings: FinetuneSettings) -> int:
        """Bytes of the base weights and their constants once the model is loaded. Raises CannotSimulateError."""
        card = (self.gpu.capability, self.gpu.multiprocessors)
        return answered(("loaded", self.config, settings.setup, card), int, partial(self._loaded, settings))

    def _loaded(self, settings: FinetuneSettings) -> int:
        setup = settings.setup
        events = self.traces(self.config, replace(setup, loop=replace(setup.loop, steps=0)), self.gpu).events
        freed = {event.block for event in events if isinstance(event, Free)}
        return sum(
            event.nbytes
            for event in events
            if isinstance(event, Alloc) and event.kind in BASE and event.block not in freed
        )

    def changed(self, settings: FinetuneSettings, **others: Any) -> FinetuneSettings:
        """Settings with some others. Raises ContradictionError when they contradict the rest."""
        return resolve_setup({**asdict(settings), **others}).settings
