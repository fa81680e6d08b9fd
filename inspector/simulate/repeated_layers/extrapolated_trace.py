"""Dry runs of models with many layers of few sorts, from traces of a few of them; of all other models, from all layers.

The events are those of the whole model, tested to be: in the same order, but for frees of one moment, which come in the
order of their blocks (CPython's changes for long chains of objects, its "trashcan"), and an allocator does not notice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from inspector.errors import CannotSimulateError
from inspector.precision.published import published_in
from inspector.simulate.program.decoding import GenerateTrace, trace_generate
from inspector.simulate.program.threads import in_threads
from inspector.simulate.program.trace import Trace
from inspector.simulate.program.training import trace_finetune
from inspector.simulate.repeated_layers.normal_form import ByLayers
from inspector.simulate.repeated_layers.rules import NoPatternError, Small, alike, whole_events
from inspector.simulate.repeated_layers.smaller_models import TRIES, Fewer, fewer_layers, names_a_layer
from inspector.simulate.setup.training import LoraSetup, PeftSetup
from inspector.trust import is_code_trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from inspector.lenses.kv_cache import LayerCache
    from inspector.simulate.events import Event
    from inspector.simulate.setup.generation import GenerateSetup
    from inspector.simulate.setup.training import TrainSetup

T = TypeVar("T", Trace, GenerateTrace)

_unanswered: set[int] = set()
"""Hashes of what traces of so few layers did not answer: the layers, and what makes them differ inside a step."""


def finetune_events(
    config: Mapping[str, Any], setup: TrainSetup, capability: tuple[int, int], multiprocessors: int
) -> Trace:
    """As `step.trace_finetune`, in the time that a few layers take where that is enough.

    Weights that threads bring to the card do so here: how far they get is a matter of all layers.
    """
    found = _events(config, setup, capability, multiprocessors)
    return replace(found, events=in_threads(found.events)) if setup.load.threads else found


def _events(config: Mapping[str, Any], setup: TrainSetup, capability: tuple[int, int], multiprocessors: int) -> Trace:
    # Code that came with a model may do what it likes in any layer, and its modules say nothing of it.
    alike_all = _adapts_layers_alike(setup.adapters) and not _stores_layers_unlike(config)
    # Files that are saved have the names of all layers in them.
    if not is_code_trusted() and setup.saving is None and alike_all:
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
            loop.checkpointing, loop.steps > 0, setup.objective, setup.evaluation,
            setup.adapters is None, loop.loss,
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
    """The answer of the fewest layers that have one, from the cheapest try on."""
    traced: dict[str, T] = {}

    def once(part: Mapping[str, Any]) -> T:
        # What one try has as its larger model may be the smaller one of the next.
        return traced.setdefault(repr(part), traced.get(repr(part)) or trace(part))

    for how in TRIES:
        fewer = fewer_layers(config, how)
        asked = hash(repr((fewer, question)))
        # Else both small models would be traced for nothing again, at every size that is tried.
        if fewer is None or asked in _unanswered:
            continue
        try:
            short = once(fewer.short)
            # Half the time is saved where layers that are taken as one sort turn out to differ.
            maybe = not fewer.mixed or alike(Small(ByLayers(short.events, fewer.stacks), fewer.short_roles))
            found = grown(fewer, short, once(fewer.long)) if maybe else None
        except CannotSimulateError:  # the whole model says what is wrong with it
            return None
        if found is not None:
            return found
        _unanswered.add(asked)
    return None


def _whole(fewer: Fewer, short: Sequence[Event], long: Sequence[Event]) -> tuple[Event, ...] | None:
    """The whole model's events; None when the two do not say."""
    one = Small(ByLayers(short, fewer.stacks), fewer.short_roles)
    other = Small(ByLayers(long, fewer.stacks), fewer.long_roles)
    try:
        return whole_events(one, other, fewer.roles)
    except NoPatternError:
        return None


def _grown(fewer: Fewer, short: Trace, long: Trace) -> Trace | None:
    # Notes that differ name something that depends on the number of layers.
    events = _whole(fewer, short.events, long.events) if short.notes == long.notes else None
    growth = (long.paged_bytes - short.paged_bytes) // (len(fewer.long_roles) - len(fewer.short_roles))
    if events is None:
        return None
    paged = long.paged_bytes + growth * (len(fewer.roles) - len(fewer.long_roles))
    return Trace(events, paged, long.notes, {**short.questions, **long.questions}, long.inputs)


def _generated(fewer: Fewer, short: GenerateTrace, long: GenerateTrace) -> GenerateTrace | None:
    # What an encoder gave is kept beside the layers' own.
    if (short.last_step, short.notes) != (long.last_step, long.notes) or long.cross:
        return None
    caches: dict[int, tuple[LayerCache, int]] = {}
    for roles, trace in ((fewer.short_roles, short), (fewer.long_roles, long)):
        layers = list(zip(trace.layers, trace.layer_bytes, strict=True))
        if len(layers) != len(roles):
            return None
        for role, layer in zip(roles, layers, strict=True):
            if caches.setdefault(role, layer) != layer:
                return None
    events = _whole(fewer, short.events, long.events)
    if events is None:
        return None
    whole = [caches[role] for role in fewer.roles]
    cached, sizes = tuple(layer for layer, _ in whole), tuple(nbytes for _, nbytes in whole)
    return replace(long, events=events, layers=cached, layer_bytes=sizes)
