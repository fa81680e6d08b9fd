"""Will it fit, and if not, what is the cheapest thing to change? Every answer is a simulated step, none is a guess."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from inspector.config_json import published_dtype
from inspector.errors import CannotSimulateError, ContradictionError
from inspector.fit.changes import candidates
from inspector.fit.largest import largest_settings
from inspector.fit.simulator import Simulator
from inspector.reporting import TableReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inspector.gpus import Gpu
    from inspector.simulate.on_card import Peaks
    from inspector.simulate.setup.settings import FinetuneSettings


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the setup, what it costs, and what the changed setup takes."""

    what: str
    cost: str
    settings: tuple[tuple[str, Any], ...]
    peaks: Peaks


@dataclass(frozen=True)
class FitPlan(TableReport):
    """A setup on a card: the verdict, what the card cannot do, and what would help.

    ``changes`` are single changes, cheapest first, each simulated by itself; ``together`` is the shortest run of them
    from the cheapest on that fits when no single one does, empty when even all of them do not.
    ``largest`` has the largest batch size, length and rank that fit, the rest unchanged (0: not even the smallest).
    """

    kind: ClassVar[str] = "fit_plan"

    model: str
    gpu: Gpu
    settings: FinetuneSettings
    peaks: Peaks
    cannot: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    together: tuple[Change, ...] = ()
    largest: tuple[tuple[str, int], ...] = ()
    assumptions: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether it fits as it is."""
        return self.peaks.fits


def plan(
    model: str,
    config: Mapping[str, Any],
    settings: FinetuneSettings,
    gpu: Gpu,
    *,
    solve: bool = False,
    known: Peaks | None = None,
) -> FitPlan:
    """The verdict on a setup, and when it does not fit, what to change.

    Args:
        model: its name, for the report.
        config: content of its ``config.json``.
        settings: how it is trained.
        gpu: the card.
        solve: also find the largest batch size, length and rank that fit.
        known: the peaks of the setup itself, when it was simulated already.

    Raises:
        CannotSimulateError: when the model with this setup cannot be simulated.
    """
    simulator = Simulator(config, gpu)
    if known:
        simulator.known[settings] = known
    peaks = simulator.peaks(settings)
    changes: tuple[Change, ...] = ()
    together: tuple[Change, ...] = ()
    if not peaks.fits:
        changes = tuple(_single_changes(simulator, settings))
        if not any(change.peaks.fits for change in changes):
            together = tuple(_together(simulator, settings, changes))
    largest: tuple[tuple[str, int], ...] = ()
    if solve:
        largest = largest_settings(simulator, settings)
    return FitPlan(
        model=model,
        gpu=gpu,
        settings=settings,
        peaks=peaks,
        cannot=cannot(settings, gpu, config),
        changes=changes,
        together=together,
        largest=largest,
        assumptions=("every setup named here was simulated; one process, nothing else on the card",),
    )


def cannot(settings: FinetuneSettings, gpu: Gpu, config: Mapping[str, Any]) -> tuple[str, ...]:
    """What a setup asks of a card that it has no hardware or no kernel for."""
    dtype = published_dtype(config) if settings.dtype == "auto" else settings.dtype
    said = []
    if not gpu.bf16 and ("bfloat16" in {dtype, settings.compute_dtype} or settings.autocast == "bf16"):
        said.append(f"no bfloat16 units on a {gpu.name}: PyTorch emulates it, slowly; float16 is native")
    if not gpu.flash_attention_2 and settings.attention == "flash_attention_2":
        said.append(f"flash_attention_2 does not run on a {gpu.name}: it needs compute capability 8.0")
    if not gpu.int8 and settings.scheme == "int8":
        said.append(f"LLM.int8 does not run on a {gpu.name}: it needs compute capability 7.5")
    return tuple(said)


def _single_changes(simulator: Simulator, settings: FinetuneSettings) -> Iterator[Change]:
    """Every candidate by itself; what does not make it smaller is left out, as is what cannot be simulated."""
    now = simulator.peaks(settings)
    for what, cost, others in candidates(settings):
        try:
            peaks = simulator.peaks(simulator.changed(settings, **others))
        except (CannotSimulateError, ContradictionError):
            continue
        if peaks.process < now.process or peaks.fits:
            yield Change(what, cost, tuple(others.items()), peaks)


def _together(simulator: Simulator, settings: FinetuneSettings, changes: tuple[Change, ...]) -> list[Change]:
    """One change after the other, cheapest first, until it fits; then what turned out needless is taken back."""
    taken: list[Change] = []
    for change in changes:
        taken.append(
            Change(change.what, change.cost, change.settings, _peaks_of(simulator, settings, [*taken, change]))
        )
        if taken[-1].peaks.fits:
            break
    else:
        return []
    for change in list(taken[:-1]):
        rest = [other for other in taken if other is not change]
        peaks = _peaks_of(simulator, settings, rest)
        if peaks.fits:
            taken = [*rest[:-1], Change(rest[-1].what, rest[-1].cost, rest[-1].settings, peaks)]
    return taken


def _peaks_of(simulator: Simulator, settings: FinetuneSettings, changes: list[Change]) -> Peaks:
    others: dict[str, Any] = {}
    for change in changes:
        others.update(change.settings)
    return simulator.peaks(simulator.changed(settings, **others))
