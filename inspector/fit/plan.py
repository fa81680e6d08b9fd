"""Will it fit, and if not, what is the cheapest thing to change? Every answer is a simulated step, none is a guess."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from inspector.config_json import published_dtype
from inspector.fit.cause import explained, parts_at_peak
from inspector.fit.helping import Help, Helping
from inspector.fit.largest import largest_settings
from inspector.fit.simulator import Simulator, Traces
from inspector.gpus import shared
from inspector.reporting import TableReport
from inspector.simulate.finetuning import Question, answer
from inspector.simulate.setup.finetuning import resolve_setup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.fit.helping import Change
    from inspector.gpus import Gpu
    from inspector.simulate.finetuning import StepReport
    from inspector.simulate.on_card import Peaks
    from inspector.simulate.setup.settings import FinetuneSettings


@dataclass(frozen=True)
class FitPlan(TableReport):
    """A setup on a card: the verdict, what the card cannot do, and what would help.

    ``cause`` says what the peak consists of. ``changes`` are single changes that help, those of the cause first, then
    cheapest first, each simulated by itself; ``together`` are as few of them as fit when no single one does. When not
    even all together fit, there are none of either: ``smallest`` is what all together take, and ``weights_alone`` the
    bytes that base weights take at the least, where these alone are too much.
    ``largest`` has the largest batch size, length and rank that fit, the rest unchanged (0: not even the smallest).
    ``inputs`` is as in `inspector.simulate.finetuning.StepReport`.
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
    cause: str = ""
    smallest: Change | None = None
    weights_alone: int = 0
    assumptions: tuple[str, ...] = ()
    inputs: str = ""

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
    known: StepReport | None = None,
    traces: Traces | None = None,
) -> FitPlan:
    """The verdict on a setup, and when it does not fit, what to change.

    Args:
        model: its name, for the report.
        config: content of its ``config.json``.
        settings: how it is trained.
        gpu: the card.
        solve: also find the largest batch size, length and rank that fit.
        known: the report on the setup itself, when it was simulated already.
        traces: where what was traced for it is found.

    Raises:
        CannotSimulateError: when the model with this setup cannot be simulated.
    """
    traces = traces or Traces()
    if known is None:
        known = answer(Question(model, config, resolve_setup(asdict(settings)), gpu), traced=traces)
    simulator = Simulator(config, gpu, traces)
    # It was simulated just now: neither a change back nor the search does it again.
    simulator.known[settings] = known.peaks
    helped, cause = Help(), ""
    if not known.fits:
        parts = parts_at_peak(known)
        cause = explained(known, parts)
        helped = Helping(simulator, settings, known, parts).found()
    largest = largest_settings(simulator, settings, known.inputs) if solve else ()
    return FitPlan(
        model=model,
        gpu=gpu,
        settings=settings,
        peaks=known.peaks,
        cannot=cannot(settings, gpu, config),
        changes=helped.changes,
        together=helped.together,
        largest=largest,
        cause=cause,
        smallest=helped.smallest,
        weights_alone=helped.weights_alone,
        inputs=known.inputs,
        assumptions=("every setup named here was simulated; one process, nothing else on the card", *shared(gpu)),
    )


def cannot(settings: FinetuneSettings, gpu: Gpu, config: Mapping[str, Any]) -> tuple[str, ...]:
    """What a setup asks of a card that it has no hardware or no kernel for."""
    dtype = published_dtype(config) if settings.dtype == "auto" else settings.dtype
    said = []
    if not gpu.pytorch:
        said.append(f"no build of today's PyTorch has kernels for {gpu.with_article}: it needs compute capability 5.0")
    if not gpu.bitsandbytes and (settings.method == "qlora" or "8bit" in settings.optimizer):
        said.append(f"bitsandbytes does not run on {gpu.with_article}: it needs compute capability 6.0")
    if not gpu.bf16 and ("bfloat16" in {dtype, settings.compute_dtype} or settings.autocast == "bf16"):
        said.append(f"no bfloat16 units on {gpu.with_article}: PyTorch emulates it, slowly; float16 is native")
    if not gpu.flash_attention_2 and settings.attention == "flash_attention_2":
        said.append(f"flash_attention_2 does not run on {gpu.with_article}: it needs compute capability 8.0")
    if not gpu.int8 and settings.scheme == "int8":
        said.append(f"LLM.int8 does not run on {gpu.with_article}: it needs compute capability 7.5")
    return tuple(said)
