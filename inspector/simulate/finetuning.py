"""The dry run of a fine-tuning: from a model and options to a `StepReport`. Imports torch only when called."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from inspector.architecture.libraries import need, need_later
from inspector.errors import ContradictionError, InspectorError
from inspector.gpus import Gpu, card_of_size
from inspector.gpus.training_cards import training_card
from inspector.reporting import Report
from inspector.simulate.allocator.settings import AllocatorSettings
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.events import STAGES
from inspector.simulate.on_card import OnCard, OutlierRange, Peaks, outlier_range, peaks_on
from inspector.simulate.reports import at_peak
from inspector.simulate.reports.assumed import MICRO_BATCHES, assumptions, few_micro_batches
from inspector.simulate.reports.libraries import versions
from inspector.simulate.setup.finetuning import Resolved, resolve_setup
from inspector.simulate.setup.further_models import further_models
from inspector.simulate.setup.recipes import recipe as find_recipe
from inspector.simulate.setup.stored import follow_checkpoint
from inspector.simulate.setup.words import ON_LOADING
from inspector.store.answers import answered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from inspector.simulate.allocator.timeline import StagePeak, Timeline
    from inspector.simulate.events import Event, Stage
    from inspector.simulate.program.trace import Trace
    from inspector.simulate.reports.at_peak import KindLine, LiveTensor, Point, Share
    from inspector.simulate.reports.saved import Saved
    from inspector.simulate.setup.options import FinetuneSettingsOptions
    from inspector.simulate.setup.training import TrainSetup

    Tracing = Callable[[Mapping[str, Any], TrainSetup, Gpu], Trace]


@dataclass(frozen=True)
class StepReport(OnCard, Report):
    """A simulated fine-tuning run on one card. All sizes are bytes.

    ``peaks`` has what ``torch.cuda.max_memory_allocated`` and ``max_memory_reserved`` would say at the end, loading
    included, and whether the card serves it.
    ``steady_allocated_bytes`` is what is still allocated after the last step. ``paged_bytes`` is optimizer state in
    managed memory, which no allocator counts. ``stages`` has every stage of every step; step -1 is loading. ``events``
    are kept only when asked for. ``plan`` is what to change, where that was asked for (`inspector.fit.advise`).
    ``timeline_kinds`` splits the points of ``timeline``. ``math_attention`` says that sdpa fell back to its math
    kernel, ``math_cures`` what would keep it from there (`inspector.simulate.device.math_attention`). ``inputs`` says
    what a micro-batch is, by the names and shapes of its tensors, where it is not the tokens of a language model.
    ``saved`` is what a save wrote, and what the machine's memory held for it. ``outliers`` is what LLM.int8 takes with
    fewer outliers and with more.
    """

    kind: ClassVar[str] = "simulate"

    model: str
    gpu: Gpu
    setup: TrainSetup
    allocator: AllocatorSettings
    settings: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, str]
    peaks: Peaks
    steady_allocated_bytes: int
    paged_bytes: int
    peak_stage: Stage
    peak_step: int
    stages: tuple[StagePeak, ...]
    alive_at_peak: tuple[Share, ...]
    modules_at_peak: tuple[Share, ...]
    largest_at_peak: tuple[LiveTensor, ...]
    timeline: tuple[Point, ...] = field(repr=False)
    num_events: int
    assumptions: tuple[str, ...] = ()
    events: tuple[Event, ...] = field(default=(), repr=False)
    plan: Report | None = None
    timeline_kinds: tuple[KindLine, ...] = field(default=(), repr=False)
    math_attention: bool = False
    inputs: str = ""
    math_cures: tuple[str, ...] = ()
    saved: Saved | None = None
    outliers: OutlierRange | None = None

    def stage_peak(self, stage: Stage, step: int | None = None) -> StagePeak:
        """The stage of a step; of the last one when no step is said."""
        found = [item for item in self.stages if item.stage == stage and step in {None, item.step}]
        return found[-1]

    def stage_maxima(self) -> dict[Stage, tuple[int, int]]:
        """Highest allocated and reserved bytes of each stage over all steps."""
        return {
            stage: (
                max(item.peak_allocated for item in self.stages if item.stage == stage),
                max(item.peak_reserved for item in self.stages if item.stage == stage),
            )
            for stage in STAGES
            if any(item.stage == stage for item in self.stages)
        }


@dataclass(frozen=True, slots=True)
class Question:
    """What a dry run is asked: a model by name and the content of its ``config.json``, a setup, and a card."""

    model: str
    config: Mapping[str, Any]
    resolved: Resolved
    gpu: Gpu

    @property
    def allocator(self) -> AllocatorSettings:
        """How PyTorch's allocator is told to work."""
        return AllocatorSettings(expandable_segments=self.resolved.settings.expandable_segments)


def finetune(
    reference: str | Mapping[str, Any] | None = None,
    *,
    recipe: str = "",
    vram: str = "",
    keep_events: bool = False,
    **options: Unpack[FinetuneSettingsOptions],
) -> StepReport:
    """Run a fine-tuning step on shapes without data and say what memory it takes.

    Args:
        reference: a model as everywhere (bundled name, folder, config file), or the content of a ``config.json``.
            Left out, the recipe's model, else Llama 3.1 8B.
        recipe: a known stack's settings (see `recipes`).
        keep_events: keep every allocation in the report, for `save_snapshot`.
        vram: a card's memory instead of its name, such as ``16GiB``.
        options: settings by the names of `FinetuneSettings`, in long or in short; None means "not said".

    Returns:
        A `StepReport`; out of memory is an answer in it, not an error.

    Raises:
        InspectorError: for bad settings, a model that cannot be built, or one whose step needs more than token ids.
    """
    return answer(question(reference, recipe=recipe, vram=vram, **options), keep_events=keep_events)


def question(
    reference: str | Mapping[str, Any] | None = None,
    *,
    recipe: str = "",
    vram: str = "",
    from_files: Mapping[str, Any] | None = None,
    **options: Unpack[FinetuneSettingsOptions],
) -> Question:
    """What `finetune` is asked with these arguments, nothing simulated yet. Raises InspectorError as it does.

    ``from_files`` are settings that configuration files set (`inspector.simulate.setup.readers`).
    """
    chosen = find_recipe(recipe) if recipe else None
    resolved = resolve_setup(chosen.settings if chosen else None, from_files=from_files, **options)
    if vram and options.get("gpu"):
        raise InspectorError("a card's memory takes the place of its name", hint="give either --gpu or --vram")
    gpu = card_of_size(vram) if vram else training_card(resolved.settings.gpu)
    # Before anything is traced: what a card cannot do is known from the words alone.
    check_card(resolved.setup, gpu)
    model, config = _model(reference or (chosen.model if chosen else ""))
    return Question(model, config, follow_checkpoint(resolved, config), gpu)


def answer(asked: Question, *, keep_events: bool = False, traced: Tracing | None = None) -> StepReport:
    """The kept answer, or a new one; a new one in any case when its events are wanted. Raises as `finetune` does.

    ``traced`` takes the place of `trace`, for who wants the events as well or has them.
    """
    setup, gpu, traced = asked.resolved.setup, asked.gpu, traced or trace
    # A kept answer has no events, so it is made anew.
    if keep_events:
        found = traced(asked.config, setup, gpu)
        return replace(_with_range(asked, summarize(asked, found)), events=found.events)
    report = answered(
        ("finetune", asked.config, *further_models(setup), setup, asked.allocator, gpu),
        StepReport,
        lambda: _with_range(asked, summarize(asked, traced(asked.config, setup, gpu))),
    )
    # Neither the model's name nor who set what is part of the question.
    return replace(report, model=asked.model, settings=asked.resolved.explained())


def _with_range(asked: Question, report: StepReport) -> StepReport:
    """The report with what LLM.int8 takes at either end of what data may have."""
    setup = asked.resolved.setup
    ends = outlier_range(
        setup.load.quantization,
        asked.config,
        lambda: trace(asked.config, setup, asked.gpu).events,  # of its own: those that are shared have no ends
        asked.gpu,
        asked.allocator,
    )
    return replace(report, outliers=ends)


def save_snapshot(report: StepReport, path: Path) -> None:
    """Write a simulated run (made with ``keep_events``) in the format PyTorch's memory_viz opens.

    Raises InspectorError when the file cannot be written.
    """
    from inspector.simulate.snapshot.writer import write_snapshot

    write_snapshot(path, report.events, report.allocator)


def check_card(setup: TrainSetup, gpu: Gpu) -> None:
    """Refuse what a card cannot do. Raises InspectorError."""
    if setup.load.attention == "flash_attention_2" and not gpu.flash_attention_2:
        raise ContradictionError(f"flash_attention_2 does not run on {gpu.with_article}", hint="use --attn sdpa")


def trace(config: Mapping[str, Any], setup: TrainSetup, gpu: Gpu) -> Trace:
    """The events of loading and training on a card, with no more than `MICRO_BATCHES` accumulated.

    Raises LibraryError when one that this setup needs is missing, and CannotSimulateError.
    """
    needed(setup)
    from inspector.simulate.repeated_layers.extrapolated_trace import finetune_events

    return finetune_events(config, few_micro_batches(setup, MICRO_BATCHES), gpu.capability, gpu.multiprocessors)


def needed(setup: TrainSetup) -> None:
    """Raise LibraryError when a library that this setup needs is missing."""
    need("torch", "transformers", "accelerate")
    if (stored := setup.load.quantization) and stored.scheme in {*ON_LOADING, "bitsandbytes"}:
        need_later("bitsandbytes")  # imported with the device's kernels, in half the time
    if "8bit" in setup.loop.optimizer or "paged" in setup.loop.optimizer:
        need_later("bitsandbytes")  # imported with the device's kernels, in half the time
    if setup.adapters is not None:
        need_later("peft")  # which imports bitsandbytes, too


def summarize(asked: Question, traced: Trace) -> StepReport:
    """The report on traced events: replayed without a limit, and on the card."""
    from inspector.simulate.device.math_attention import math_calls, math_cures
    from inspector.simulate.device.questions import Chip

    events, gpu, resolved = traced.events, asked.gpu, asked.resolved
    timeline = replay(events, asked.allocator)
    alive, points = timeline.alive(events), at_peak.points(events, timeline)
    trained = [item for item in timeline.stages if item.stage != "save"]
    # Of several that reach it the first: the later ones only repeat it.
    top = next(item for item in timeline.stages if item.peak_allocated == timeline.peak_allocated)
    return StepReport(
        model=asked.model,
        gpu=gpu,
        setup=resolved.setup,
        settings=resolved.explained(),
        allocator=asked.allocator,
        versions=versions(),
        peaks=_peaks(asked, events, timeline),
        steady_allocated_bytes=trained[-1].end_allocated,
        paged_bytes=traced.paged_bytes,
        peak_stage=top.stage,
        peak_step=top.step,
        stages=timeline.stages,
        alive_at_peak=at_peak.by_kind(alive),
        modules_at_peak=at_peak.by_module(alive),
        largest_at_peak=at_peak.largest(alive),
        timeline=points,
        timeline_kinds=at_peak.kinds_at(events, timeline, points),
        num_events=len(events),
        inputs=traced.inputs,
        assumptions=(*traced.notes, *assumptions(resolved.setup, gpu, traced.inputs)),
        saved=traced.saved,
        math_attention=bool(math_calls(traced.questions)),
        math_cures=math_cures(traced.questions, Chip(gpu.capability, gpu.multiprocessors)),
    )


def _peaks(asked: Question, events: tuple[Event, ...], timeline: Timeline) -> Peaks:
    """What it takes on the card; kernels of flash-attn may hold more of it by their versions."""
    found = peaks_on(events, asked.gpu, asked.allocator, timeline)
    flash = asked.resolved.setup.load.attention == "flash_attention_2"
    return replace(found, context_more=asked.gpu.flash_attn_bytes) if flash else found


def _model(reference: str | Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    from inspector.sources.bundled import DEFAULT_MODEL, find
    from inspector.sources.resolve import resolve_config

    if isinstance(reference, str):
        reference = reference or DEFAULT_MODEL
        return find(reference) or reference, resolve_config(reference)
    # Where a config came from, as transformers writes it into one that it has loaded.
    return str(reference.get("_name_or_path") or reference.get("model_type", "model")), reference
