"""Dry runs of models with many identical layers, from traces of a few of them; of all other models, from all layers.

The events are those of the whole model, tested to be: in the same order, but for frees of one moment, whose order
CPython changes for long chains of objects (its "trashcan"), and which an allocator does not notice.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import dropwhile, takewhile
from typing import TYPE_CHECKING, Any, TypeVar

from inspector.errors import CannotSimulateError
from inspector.memory_kinds import MemoryKind
from inspector.precision.published import published_in
from inspector.simulate.events import Alloc, Mark
from inspector.simulate.program.decoding import GenerateTrace, trace_generate
from inspector.simulate.program.training import Trace, trace_finetune
from inspector.simulate.repeated_layers.pattern import repeated
from inspector.simulate.repeated_layers.smaller_models import FEWEST, Fewer, fewer_layers, names_a_layer
from inspector.simulate.setup.training import LoraSetup, PeftSetup
from inspector.trust import is_code_trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from inspector.simulate.events import Event
    from inspector.simulate.setup.generation import GenerateSetup
    from inspector.simulate.setup.training import TrainSetup

T = TypeVar("T", Trace, GenerateTrace)

_unanswered: set[int] = set()
"""Hashes of what traces of so few layers did not answer: the layers, and what makes them differ inside a step."""


def finetune_events(
    config: Mapping[str, Any], setup: TrainSetup, capability: tuple[int, int], multiprocessors: int
) -> Trace:
    """As `step.trace_finetune`, in the time that a few layers take where that is enough."""
    # Code that came with a model may do what it likes in any layer, and its modules say nothing of it.
    if not is_code_trusted() and _adapts_layers_alike(setup.adapters) and not _stores_layers_unlike(config):
        found = _from_few(config, setup, capability, multiprocessors)
        if found is not None:
            return found
    return trace_finetune(config, setup, capability, multiprocessors)


def _adapts_layers_alike(adapters: LoraSetup | PeftSetup | None) -> bool:
    """Whether no layer is chosen by its number; what any PEFT method chooses is not known."""
    if isinstance(adapters, LoraSetup):
        return not adapters.layers_to_transform and not names_a_layer(adapters.named)
    return adapters is None


def _stores_layers_unlike(config: Mapping[str, Any]) -> bool:
    """Whether the checkpoint is quantized in some layers and not in others, or otherwise."""
    published = published_in(config)
    return published is not None and published.names_layers


def generate_events(
    config: Mapping[str, Any], setup: GenerateSetup, capability: tuple[int, int], multiprocessors: int
) -> GenerateTrace:
    """As `generate.trace_generate`, in the time that a few layers take where that is enough."""
    whole = is_code_trusted() or _stores_layers_unlike(config)
    found = None if whole else _generated_from_few(config, setup, capability, multiprocessors)
    return found or trace_generate(config, setup, capability, multiprocessors)


def _from_few(
    config: Mapping[str, Any], setup: TrainSetup, capability: tuple[int, int], multiprocessors: int
) -> Trace | None:
    batch, loop = setup.batch, setup.loop
    return _first_answer(
        config,
        # Which attention runs, on which masks, in a forward that is run once or twice. All else is the same in each
        # layer; and where it is not, what is lost is time.
        (
            setup.load.attention, loop.sdpa_backend, batch.packed, batch.padded, batch.padding_mask,
            loop.checkpointing, loop.steps > 0,
        ),
        lambda part: trace_finetune(part, setup, capability, multiprocessors),
        _grown,
    )  # fmt: skip


def _generated_from_few(
    config: Mapping[str, Any], setup: GenerateSetup, capability: tuple[int, int], multiprocessors: int
) -> GenerateTrace | None:
    return _first_answer(
        config,
        replace(setup, batch_size=1, prompt_len=1),
        lambda part: trace_generate(part, setup, capability, multiprocessors),
        _generated,
    )


def _first_answer(
    config: Mapping[str, Any],
    question: object,
    trace: Callable[[Mapping[str, Any]], T],
    grown: Callable[[Fewer, T, T], T | None],
) -> T | None:
    """The answer of the fewest layers that have one; where the first layer differs inside, it takes one more."""
    for fewest in FEWEST:
        fewer = fewer_layers(config, fewest)
        asked = hash(repr((fewer, question)))
        # Else both small models would be traced for nothing again, at every size that is tried.
        if fewer is None or asked in _unanswered:
            continue
        try:
            short = trace(fewer.short)
            # Half the time is saved where sorts of layers that take turns turn out to differ.
            found = grown(fewer, short, trace(fewer.long)) if fewer.turn == 1 or alike(short.events, fewer) else None
        except CannotSimulateError:  # the whole model says what is wrong with it
            return None
        if found is not None:
            return found
        _unanswered.add(asked)
    return None


def alike(events: Sequence[Event], fewer: Fewer) -> bool:
    """Whether the layers that may be repeated allocate the same in the first forward."""
    path = re.compile(rf"(?:^|\.){re.escape(fewer.stacks[0])}\.(\d+)(.*)")
    layers: dict[int, list[tuple[str, int, str]]] = {}
    forward = dropwhile(lambda event: not (isinstance(event, Mark) and event.stage == "forward"), events)
    for event in takewhile(lambda event: not (isinstance(event, Mark) and event.stage != "forward"), forward):
        # The workspace of all products is made in the first.
        if not isinstance(event, Alloc) or event.kind is MemoryKind.WORKSPACE:
            continue
        if (found := path.search(event.module)) and int(found[1]) >= fewer.unlike:
            layers.setdefault(int(found[1]), []).append((found[2], event.nbytes, event.source))
    first, *rest = layers.values() or [[]]
    return all(layer == first for layer in rest)


def _grown(fewer: Fewer, short: Trace, long: Trace) -> Trace | None:
    # Notes that differ name something that depends on the number of layers.
    events = repeated(short.events, long.events, fewer.stacks, fewer.extra) if short.notes == long.notes else None
    if events is None:
        return None
    paged = long.paged_bytes + (long.paged_bytes - short.paged_bytes) * fewer.extra
    return Trace(events, paged, long.notes, {**short.questions, **long.questions}, long.inputs)


def _generated(fewer: Fewer, short: GenerateTrace, long: GenerateTrace) -> GenerateTrace | None:
    alike = long.layers[fewer.unlike :]
    if len(set(alike)) != 1 or short.layers != long.layers[:-1] or short.last_step != long.last_step:
        return None
    events = repeated(short.events, long.events, fewer.stacks, fewer.extra)
    if events is None:
        return None
    grown = long.cache_bytes + (long.cache_bytes - short.cache_bytes) * fewer.extra
    return GenerateTrace(events, long.layers + alike[:1] * fewer.extra, grown, long.last_step, long.notes)
