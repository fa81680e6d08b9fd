"""What generation takes when ``device_map`` spreads the model over several cards. Imports torch only when called."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from inspector.architecture.libraries import need
from inspector.errors import InspectorError
from inspector.memory_kinds import MemoryKind
from inspector.reporting import Report
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.generation import PhasePeak, needed, question
from inspector.simulate.on_card import Peaks, Verdict, peaks_on
from inspector.simulate.parallel.nccl import nccl_bytes
from inspector.simulate.reports import at_peak
from inspector.simulate.reports.libraries import versions
from inspector.simulate.reports.of_card import events_of
from inspector.store.answers import answered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from inspector.gpus import Gpu
    from inspector.simulate.events import Event
    from inspector.simulate.generation import GenerateQuestion
    from inspector.simulate.program.decoding import CardsTrace, GenerateTrace
    from inspector.simulate.reports.at_peak import Share
    from inspector.simulate.setup.device_map import DeviceMap
    from inspector.simulate.setup.generation import GenerateSetup
    from inspector.simulate.setup.options import GenerateSettingsOptions
    from inspector.simulate.setup.parallel import ParallelSetup

NOT_MEASURED = "the CUDA context of this card was not measured: the largest measured one is taken"
WORST: tuple[Verdict, ...] = ("does not fit", "tight", "fits")


@dataclass(frozen=True, slots=True)
class OneCard:
    """One card's share. Bytes; ``modules`` are the paths of the map, numbered ones taken together.

    ``weights_bytes`` is what is allocated when all is loaded, by size alone where the map was refused; then there are
    no peaks. ``cache_bytes`` is its part of the cache, in blocks, when the last token has been decoded.
    """

    card: int
    modules: tuple[str, ...]
    weights_bytes: int
    cache_bytes: int = 0
    prefill: PhasePeak | None = None
    last_token: PhasePeak | None = None
    peaks: Peaks | None = None
    alive_at_peak: tuple[Share, ...] = ()


@dataclass(frozen=True)
class SplitReport(Report):
    """A generation with the model spread over cards alike: by a map, or every layer by ``parallel``. All in bytes.

    ``parallel`` is as it is typed, ``tp:2``; then there is no map, and each card has a process of its own, a rank.
    ``cpu_bytes`` and ``disk_bytes`` are weights that stay on the host and come to the main card for each token;
    ``cpu_modules`` and ``disk_modules`` are whose. ``refused`` is the sentence by which transformers refuses the map,
    ``missing_bytes`` what each card would need on top for nothing to be left to the host.
    """

    kind: ClassVar[str] = "split"

    model: str
    gpu: Gpu
    setup: GenerateSetup
    device_map: DeviceMap | None
    cards: tuple[OneCard, ...]
    cpu_modules: tuple[str, ...]
    cpu_bytes: int
    disk_modules: tuple[str, ...]
    disk_bytes: int
    refused: str
    missing_bytes: int
    assumptions: tuple[str, ...]
    versions: Mapping[str, str] = field(default_factory=dict)
    parallel: str = ""

    @property
    def verdict(self) -> Verdict:
        """That of the fullest card; a map that is refused does not fit."""
        if self.refused:
            return "does not fit"
        return min((card.peaks.verdict for card in self.cards if card.peaks), key=WORST.index)

    @property
    def fits(self) -> bool:
        """Whether transformers takes the map and every card serves its share."""
        return self.verdict != "does not fit"


def _asked(reference: str, **options: Any) -> GenerateQuestion:
    """What is asked of all cards. Raises InspectorError for a cache that no several cards have."""
    whole = question(reference, **options)
    if whole.setup.cache == "offloaded":
        raise InspectorError("an offloaded cache is not simulated on several cards", hint="leave out --gpus")
    return whole


def generate_on_cards(
    reference: str,
    asked: DeviceMap,
    *,
    gpu: Gpu | str | None = None,
    vram: str = "",
    expandable_segments: bool | None = None,
    **options: Unpack[GenerateSettingsOptions],
) -> SplitReport:
    """Spread a model as ``from_pretrained(device_map=...)`` does, trace a generation, replay it card by card.

    Args:
        reference: a model as everywhere.
        asked: the map, how many cards, and what each may give.
        gpu: the card, or its name; all are alike.
        vram: the card's memory instead of its name.
        expandable_segments: as in ``PYTORCH_CUDA_ALLOC_CONF``.
        options: settings by the names of `inspector.simulate.setup.generation.GenerateSettings`.

    Raises:
        InspectorError: as `inspector.simulate.generation.simulate_generate`, and where accelerate makes no map.
    """
    whole = _asked(reference, gpu=gpu, vram=vram, expandable_segments=expandable_segments, **options)
    kept = answered(("split", *whole.key, asked), SplitReport, lambda: _report(whole, asked))
    return replace(kept, model=whole.model)


def _report(whole: GenerateQuestion, asked: DeviceMap) -> SplitReport:
    need("accelerate")
    needed(whole.setup)
    from inspector.simulate.program.decoding import trace_on_cards

    gpu = whole.gpu
    found = trace_on_cards(whole.config, whole.setup, gpu.capability, gpu.multiprocessors, asked, gpu.available_bytes)
    placement = found.placement
    return SplitReport(
        model=whole.model,
        gpu=gpu,
        setup=whole.setup,
        device_map=asked,
        cards=tuple(_card(whole, found, card) for card in range(asked.cards)),
        cpu_modules=_on(placement.device_map, "cpu"),
        cpu_bytes=found.sizes.get("cpu", 0),
        disk_modules=_on(placement.device_map, "disk"),
        disk_bytes=found.sizes.get("disk", 0),
        refused=placement.refused,
        missing_bytes=placement.missing,
        assumptions=_assumptions(whole, asked, found),
        versions=versions(),
    )


def generate_by_ranks(
    reference: str,
    parallel: ParallelSetup,
    *,
    gpu: Gpu | str | None = None,
    vram: str = "",
    expandable_segments: bool | None = None,
    **options: Unpack[GenerateSettingsOptions],
) -> SplitReport:
    """Share every layer as ``from_pretrained(distributed_config=...)`` does, and trace the ranks that differ.

    Args:
        reference: a model as everywhere.
        parallel: ``tp`` or ``ep``, over how many cards.
        gpu: the card, or its name; all are alike.
        vram: the card's memory instead of its name.
        expandable_segments: as in ``PYTORCH_CUDA_ALLOC_CONF``.
        options: settings by the names of `inspector.simulate.setup.generation.GenerateSettings`.

    Raises:
        InspectorError: as `generate_on_cards`, and for what transformers' own plan does not divide.
    """
    whole = _asked(reference, gpu=gpu, vram=vram, expandable_segments=expandable_segments, **options)
    kept = answered(("ranks", *whole.key, parallel), SplitReport, lambda: _by_ranks(whole, parallel))
    return replace(kept, model=whole.model)


def _by_ranks(whole: GenerateQuestion, parallel: ParallelSetup) -> SplitReport:
    needed(whole.setup)
    from inspector.simulate.parallel.generating import trace_generating

    gpu = whole.gpu
    ranks, alike = trace_generating(whole.config, whole.setup, parallel, gpu.capability, gpu.multiprocessors)
    cards = [
        _of_events(whole, number, (), rank.trace, rank.trace.events, nccl_bytes(rank.sent))
        for rank, group in zip(ranks, alike, strict=True)
        for number in group.ranks
    ]
    nbytes, times = (sum(getattr(each, name) for each in ranks[0].sent) for name in ("nbytes", "times"))
    said = [
        "every rank is a process of its own, and reads its own part of each weight",
        f"a token sends {nbytes / 2**20:,.2f} MiB in {times:,} collectives",
        "a process has the least that NCCL's buffers take; beside the most it may be tight",
    ]
    if not gpu.context_measured:
        said.append(NOT_MEASURED)
    return SplitReport(
        model=whole.model, gpu=gpu, setup=whole.setup, device_map=None,
        cards=tuple(sorted(cards, key=lambda card: card.card)), cpu_modules=(), cpu_bytes=0, disk_modules=(),
        disk_bytes=0, refused="", missing_bytes=0, assumptions=(*ranks[0].trace.notes, *said), versions=versions(),
        parallel=parallel.words,
    )  # fmt: skip


def _card(whole: GenerateQuestion, found: CardsTrace, card: int) -> OneCard:
    modules = _on(found.placement.device_map, card)
    if found.trace is None:
        return OneCard(card, modules, found.sizes.get(card, 0))
    return _of_events(whole, card, modules, found.trace, events_of(found.trace.events, found.cards, card))


def _of_events(
    whole: GenerateQuestion, card: int, modules: tuple[str, ...], trace: GenerateTrace, events: Sequence[Event],
    nccl: tuple[int, int] = (0, 0),
) -> OneCard:  # fmt: skip
    line = replay(events, whole.allocator)
    stages = {stage.step: stage for stage in line.stages}
    first, last = stages[0], stages[trace.last_step]
    alive = line.alive(events)
    in_the_end = line.alive(events, len(events) - 1)
    cache = sum(block.nbytes for block in in_the_end if block.alloc.kind is MemoryKind.CACHE)
    return OneCard(
        card,
        modules,
        stages[-1].end_allocated,
        cache,
        PhasePeak(first.peak_allocated, first.peak_reserved),
        PhasePeak(last.peak_allocated, last.peak_reserved),
        peaks_on(events, whole.gpu, whole.allocator, line, nccl),
        at_peak.by_kind(alive),
    )


def _on(device_map: Mapping[str, int | str], place: int | str) -> tuple[str, ...]:
    return together([path or "(model)" for path, where in device_map.items() if where == place])


def together(paths: Sequence[str]) -> tuple[str, ...]:
    """``model.layers.0``, ``model.layers.1``, ... as ``model.layers.0-1``; in the order given.

    >>> together(["embed", "h.0", "h.1", "h.2", "norm"])
    ('embed', 'h.0-2', 'norm')
    """
    found: list[tuple[str, int, int] | str] = []
    for path in paths:
        numbered = re.fullmatch(r"(.*\.)(\d+)", path)
        if numbered is None:
            found.append(path)
            continue
        stem, number = numbered[1], int(numbered[2])
        if found and isinstance(before := found[-1], tuple) and before[0] == stem and before[2] == number - 1:
            found[-1] = (stem, before[1], number)
        else:
            found.append((stem, number, number))
    return tuple(
        part if isinstance(part, str) else f"{part[0]}{part[1]}" + (f"-{part[2]}" if part[2] > part[1] else "")
        for part in found
    )


def _assumptions(whole: GenerateQuestion, asked: DeviceMap, found: CardsTrace) -> tuple[str, ...]:
    gpu = whole.gpu
    said = list(found.trace.notes) if found.trace is not None else []
    if not asked.max_memory:
        said.append(
            f"each card offers {gpu.available_bytes / 2**30:.2f} GiB, what its context leaves, and the host as much as "
            "it takes; --max-memory says otherwise"
        )
    said.append("one process runs the layers in turn: while one card computes, the others wait (naive split)")
    if found.placement.off_cards and not found.placement.refused:
        said.append("what stays on the host comes to the main card for every forward, module by module, and goes again")
    if not gpu.context_measured:
        said.append(NOT_MEASURED)
    return tuple(said)
