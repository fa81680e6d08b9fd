"""What generation takes: at prefill and at the last token. Imports torch only when called."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Unpack, cast, get_args

from inspector.architecture.libraries import need, need_later
from inspector.config_json import published_dtype
from inspector.errors import InspectorError
from inspector.gpus import Gpu, card_of_size, find_gpu, shared
from inspector.lenses.kv_cache import CacheReport
from inspector.precision.published import published_in
from inspector.reporting import Report
from inspector.simulate.allocator.settings import AllocatorSettings
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.on_card import OnCard, OutlierRange, Peaks, outlier_range, peaks_on
from inspector.simulate.reports import at_peak
from inspector.simulate.reports.libraries import versions
from inspector.simulate.setup.generation import GenerateSetup, generate_settings
from inspector.simulate.setup.outliers import assumed_in_words
from inspector.simulate.setup.stored import generate_from_checkpoint
from inspector.simulate.setup.words import ON_LOADING, Dtype
from inspector.store.answers import answered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.simulate.program.decoding import GenerateTrace
    from inspector.simulate.reports.at_peak import KindLine, LiveTensor, Point, Share
    from inspector.simulate.setup.options import GenerateSettingsOptions

GROWTH_POINTS = 64


@dataclass(frozen=True, slots=True)
class PhasePeak:
    """The highest bytes of a phase: what tensors take, and what the allocator holds for them."""

    peak_allocated: int
    peak_reserved: int


@dataclass(frozen=True)
class GenerateReport(OnCard, Report):
    """Memory of one generation on one card. All in bytes.

    ``cache`` is read off the real cache, ``cache_bytes`` are its tensors' bytes when the last token has been decoded.
    ``timeline`` and what it is split by are as in `inspector.simulate.finetuning.StepReport`; its step 0 is the
    prefill. ``largest_prompt`` is the longest prompt that still leaves room for the answer, None when it was not asked
    for, 0 when none does. Of an encoder-decoder the prompt is what its encoder reads, in the prefill: ``inputs`` says
    what that is by the names and shapes of its tensors, ``one_size`` that it is the same for any length of prompt.
    ``outliers`` is what LLM.int8 takes with fewer outliers and with more.
    """

    kind: ClassVar[str] = "generate"

    model: str
    gpu: Gpu
    setup: GenerateSetup
    weights_bytes: int
    prefill: PhasePeak
    last_token: PhasePeak
    peaks: Peaks
    cache: CacheReport
    cache_bytes: int
    alive_at_peak: tuple[tuple[str, int], ...]
    context_length: int
    largest_prompt: int | None
    assumptions: tuple[str, ...]
    versions: Mapping[str, str] = field(default_factory=dict)
    modules_at_peak: tuple[Share, ...] = ()
    largest_at_peak: tuple[LiveTensor, ...] = ()
    timeline: tuple[Point, ...] = field(default=(), repr=False)
    timeline_kinds: tuple[KindLine, ...] = field(default=(), repr=False)
    inputs: str = ""
    one_size: bool = False
    outliers: OutlierRange | None = None

    @property
    def growth(self) -> tuple[tuple[int, int], ...]:
        """Tokens kept and true bytes of the whole batch's cache, from an empty one to the last token decoded.

        The last token of an answer is not fed back, so the cache ends one short of prompt and answer. A decoder that
        reads an encoder's output keeps one token before its answer.
        """
        begun = 1 if self.cache.cross else self.setup.prompt_len
        last = begun + self.setup.max_new_tokens - 1
        # The end of the prompt is a point of its own, wherever the even steps fall.
        lengths = sorted({*(last * part // GROWTH_POINTS for part in range(GROWTH_POINTS + 1)), begun})
        # Made for the whole answer before its first token: it does not grow.
        if self.setup.cache == "static":
            return tuple((kept, self.cache.static_bytes(self.setup.sequences, last)) for kept in lengths)
        return tuple((kept, self.cache.nbytes(self.setup.sequences, kept)) for kept in lengths)


@dataclass(frozen=True, slots=True)
class GenerateQuestion:
    """What a dry run of a generation is asked: a model by name, its config and positions, a setup, a card."""

    model: str
    config: Mapping[str, object]
    context_length: int
    setup: GenerateSetup
    gpu: Gpu
    allocator: AllocatorSettings

    @property
    def key(self) -> tuple[Any, ...]:
        """All that an answer depends on."""
        return self.config, self.setup, self.gpu, self.allocator


def simulate_generate(
    reference: str,
    *,
    gpu: Gpu | str | None = None,
    vram: str = "",
    expandable_segments: bool | None = None,
    **options: Unpack[GenerateSettingsOptions],
) -> GenerateReport:
    """Trace a generation, replay it on a card, and say what it takes. Imports torch only when called.

    Args:
        reference: a bundled model, a folder or a config file.
        gpu: the card, or its name; a T4 when left out.
        vram: the card's memory instead of its name, such as ``16GiB``.
        expandable_segments: as in ``PYTORCH_CUDA_ALLOC_CONF``.
        options: settings by the names of `GenerateSettings`, in long or in short; ``dtype`` None is the one the model
            is published in.

    Raises:
        InspectorError: when the model cannot be built, run without data, or has no such cache.
    """
    return answer(question(reference, gpu=gpu, vram=vram, expandable_segments=expandable_segments, **options))


def question(
    reference: str,
    *,
    gpu: Gpu | str | None = None,
    vram: str = "",
    expandable_segments: bool | None = None,
    **options: Unpack[GenerateSettingsOptions],
) -> GenerateQuestion:
    """What `simulate_generate` is asked with these arguments, nothing simulated yet. Raises InspectorError."""
    from inspector.sources.bundled import find
    from inspector.sources.resolve import resolve, resolve_config

    facts, config = resolve(reference).facts, resolve_config(reference)
    card, chosen = _card(gpu, vram), generate_settings(**options)
    # By name, as the report on the cache says it.
    published = published_in(config)
    dtype = published.usual_dtype if published is not None and not published_dtype(config) else facts.dtype
    if chosen.dtype == "auto" and dtype in get_args(Dtype):
        chosen = replace(chosen, dtype=cast("Dtype", dtype))
    said = any(options.get(name) for name in ("scheme", "bits", "load_in_4bit", "load_in_8bit"))
    chosen = generate_from_checkpoint(chosen, config, said=said)
    allocator = AllocatorSettings(expandable_segments=bool(expandable_segments))
    return GenerateQuestion(find(reference) or reference, config, facts.context_length, chosen.setup, card, allocator)


def _card(gpu: Gpu | str | None, vram: str) -> Gpu:
    """The card that was named, or one of that much memory. Raises InspectorError for both, or an unknown one."""
    if vram and gpu:
        raise InspectorError("a card's memory takes the place of its name", hint="give either --gpu or --vram")
    if isinstance(gpu, Gpu):
        return gpu
    return card_of_size(vram) if vram else find_gpu(gpu or "T4")


def answer(asked: GenerateQuestion) -> GenerateReport:
    """The kept answer, or a new one. Raises as `simulate_generate` does."""
    kept = answered(("generate", *asked.key, asked.context_length), GenerateReport, lambda: _report(asked))
    return replace(kept, model=asked.model, cache=replace(kept.cache, model=asked.model))


def peaks(asked: GenerateQuestion, prompt_len: int) -> Peaks:
    """What another prompt takes. Raises CannotSimulateError, also for more tokens than the model has positions."""
    trace = _trace(asked.config, replace(asked.setup, prompt_len=prompt_len), asked.gpu)
    return peaks_on(trace.events, asked.gpu, asked.allocator)


def _report(asked: GenerateQuestion) -> GenerateReport:
    setup, gpu, settings = asked.setup, asked.gpu, asked.allocator
    trace = _trace(asked.config, setup, gpu)
    line = replay(trace.events, settings)
    stages = {stage.step: stage for stage in line.stages}
    prefill, last = stages[0], stages[trace.last_step]
    alive, points = line.alive(trace.events), at_peak.points(trace.events, line)
    return GenerateReport(
        model=asked.model,
        gpu=gpu,
        setup=setup,
        # Step -1 is loading: a key, and not the last of a list.
        weights_bytes=stages[-1].end_allocated,
        prefill=PhasePeak(prefill.peak_allocated, prefill.peak_reserved),
        last_token=PhasePeak(last.peak_allocated, last.peak_reserved),
        peaks=peaks_on(trace.events, gpu, settings, line),
        cache=CacheReport(asked.model, setup.load.dtype, trace.layers, cross=trace.cross, source=trace.source),
        cache_bytes=trace.cache_bytes,
        alive_at_peak=tuple((share.name, share.nbytes) for share in at_peak.by_kind(alive)),
        context_length=asked.context_length,
        largest_prompt=None,
        assumptions=_assumptions(asked, trace),
        versions=versions(),
        modules_at_peak=at_peak.by_module(alive),
        largest_at_peak=at_peak.largest(alive),
        timeline=points,
        timeline_kinds=at_peak.kinds_at(trace.events, line, points),
        inputs=trace.inputs,
        one_size=trace.one_size,
        outliers=outlier_range(
            setup.load.quantization, asked.config, lambda: _trace(asked.config, setup, gpu).events, gpu, settings
        ),
    )


def needed(setup: GenerateSetup) -> None:
    """Raise LibraryError when one that this setup needs is missing."""
    need("torch", "transformers")
    if (stored := setup.load.quantization) and stored.scheme in {*ON_LOADING, "bitsandbytes"}:
        need_later("accelerate", "bitsandbytes")


def _trace(config: Mapping[str, object], setup: GenerateSetup, gpu: Gpu) -> GenerateTrace:
    needed(setup)
    from inspector.simulate.repeated_layers.extrapolated_trace import generate_events

    return generate_events(config, setup, gpu.capability, gpu.multiprocessors)


def _assumptions(asked: GenerateQuestion, trace: GenerateTrace) -> tuple[str, ...]:
    setup, gpu = asked.setup, asked.gpu
    how = "greedy decoding" if setup.num_beams == 1 else "beam search, in which no sentence ends early"
    lines = [*trace.notes, f"{how}, no padding, one prompt a sequence; the cache is transformers' own"]
    if (stored := setup.load.quantization) and stored.scheme == "int8":
        lines.append(assumed_in_words())
    beams = asked.config.get("num_beams")
    if isinstance(beams, int) and beams > 1 and setup.num_beams == 1:
        lines.append(f"its config asks for {beams} beams, each with a cache of its own: --num-beams {beams}")
    if trace.inputs:
        lines.append(f"the encoder reads {trace.inputs} once; the decoder begins with one token")
    # Twice `decoding_loop.TRACED_STEPS`, which is not imported here as it brings torch.
    if trace.last_step > 6:
        lines.append(
            "the first and the last three tokens are traced; those in between leave the cache they would leave"
        )
    if setup.cache == "quantized":
        lines.append("quantized cache: transformers' fp8 backend, the one that needs no further package")
    if setup.cache == "offloaded":
        lines.append("offloaded cache: keys and values of all layers but two are in host memory")
    if not gpu.context_measured:
        lines.append("the CUDA context of this card was not measured: the largest measured one is taken")
    return (*lines, *shared(gpu))
