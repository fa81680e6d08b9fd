"""Dry runs of models with many identical layers, from traces of a few of them; of all other models, from all layers.

The events are those of the whole model, tested to be: in the same order, but for frees of one moment, whose order
CPython changes for long chains of objects (its "trashcan"), and which an allocator does not notice.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from inspector.errors import CannotSimulateError
from inspector.simulate.program.decoding import GenerateTrace, trace_generate
from inspector.simulate.program.training import Trace, trace_finetune
from inspector.simulate.repeated_layers.pattern import repeated
from inspector.simulate.repeated_layers.smaller_models import FEWEST, Fewer, fewer_layers, names_a_layer
from inspector.simulate.setup.training import LoraSetup, PeftSetup
from inspector.trust import is_code_trusted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inspector.simulate.setup.generation import GenerateSetup
    from inspector.simulate.setup.training import TrainSetup

T = TypeVar("T", Trace, GenerateTrace)

_unanswered: set[int] = set()
"""Hashes of the questions, whatever their batch, length and rank, that traces of so few layers did not answer."""


def finetune_events(
    config: Mapping[str, Any], setup: TrainSetup, capability: tuple[int, int], multiprocessors: int
) -> Trace:
    """As `step.trace_finetune`, in the time that a few layers take where that is enough."""
    # Code that came with a model may do what it likes in any layer, and its modules say nothing of it.
    if not is_code_trusted() and _adapts_layers_alike(setup.adapters):
        found = _from_few(config, setup, capability, multiprocessors)
        if found is not None:
            return found
    return trace_finetune(config, setup, capability, multiprocessors)


def _adapts_layers_alike(adapters: LoraSetup | PeftSetup | None) -> bool:
    """Whether no layer is chosen by its number; what any PEFT method chooses is not known."""
    if isinstance(adapters, LoraSetup):
        return not names_a_layer((*adapters.target_modules, *adapters.modules_to_save))
    return adapters is None


def generate_events(
    config: Mapping[str, Any], setup: GenerateSetup, capability: tuple[int, int], multiprocessors: int
) -> GenerateTrace:
    """As `generate.trace_generate`, in the time that a few layers take where that is enough."""
    found = None if is_code_trusted() else _generated_from_few(config, setup, capability, multiprocessors)
    return found or trace_generate(config, setup, capability, multiprocessors)


def _from_few(
    config: Mapping[str, Any], setup: TrainSetup, capability: tuple[int, int], multiprocessors: int
) -> Trace | None:
    adapters = setup.adapters
    return _first_answer(
        config,
        replace(
            setup,
            # What has no answer at one size has none at another: which events there are does not depend on it.
            batch=replace(setup.batch, size=1, seq_len=2),
            adapters=replace(adapters, r=1, alpha=1) if isinstance(adapters, LoraSetup) else adapters,
        ),
        lambda part: trace_finetune(part, setup, capability, multiprocessors),
        _grown,
    )


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
    question: TrainSetup | GenerateSetup,
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
            short, long = trace(fewer.short), trace(fewer.long)
        except CannotSimulateError:  # the whole model says what is wrong with it
            return None
        if (found := grown(fewer, short, long)) is not None:
            return found
        _unanswered.add(asked)
    return None


def _grown(fewer: Fewer, short: Trace, long: Trace) -> Trace | None:
    # Notes that differ name something that depends on the number of layers.
    events = repeated(short.events, long.events, fewer.stacks, fewer.extra) if short.notes == long.notes else None
    if events is None:
        return None
    paged = long.paged_bytes + (long.paged_bytes - short.paged_bytes) * fewer.extra
    return Trace(events, paged, long.notes, {**short.questions, **long.questions})


def _generated(fewer: Fewer, short: GenerateTrace, long: GenerateTrace) -> GenerateTrace | None:
    alike = long.layers[fewer.unlike :]
    if len(set(alike)) != 1 or short.layers != long.layers[:-1] or short.last_step != long.last_step:
        return None
    events = repeated(short.events, long.events, fewer.stacks, fewer.extra)
    if events is None:
        return None
    grown = long.cache_bytes + (long.cache_bytes - short.cache_bytes) * fewer.extra
    return GenerateTrace(events, long.layers + alike[:1] * fewer.extra, grown, long.last_step, long.notes)
