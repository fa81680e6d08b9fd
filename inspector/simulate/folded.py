"""Dry runs of models with many identical layers, from traces of a few of them; of all other models, from all layers.

The events are those of the whole model, tested to be: in the same order, but for frees of one moment, whose order
CPython changes for long chains of objects (its "trashcan"), and which an allocator does not notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.simulate.fewer import fewer_layers, names_a_layer
from inspector.simulate.repeat import repeated
from inspector.simulate.step import Trace, trace_finetune
from inspector.sources.trust import is_code_trusted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.simulate.setup import TrainSetup

_whole: set[int] = set()
"""Hashes of the pairs of small models (by their configs) whose traces said nothing of a larger one."""


def finetune_events(
    config: Mapping[str, Any], setup: TrainSetup, capability: tuple[int, int], multiprocessors: int
) -> Trace:
    """As `step.trace_finetune`, in the time that a few layers take where that is enough."""
    if not is_code_trusted() and not names_a_layer((*setup.target_modules, *setup.modules_to_save)):
        found = None if setup.peft_config else _from_few(config, setup, capability, multiprocessors)
        if found is not None:
            return found
    return trace_finetune(config, setup, capability, multiprocessors)


def _from_few(
    config: Mapping[str, Any], setup: TrainSetup, capability: tuple[int, int], multiprocessors: int
) -> Trace | None:
    fewer = fewer_layers(config)
    if fewer is None or hash(repr(fewer)) in _whole:
        return None
    try:
        short, long = (trace_finetune(part, setup, capability, multiprocessors) for part in (fewer.short, fewer.long))
    except InspectorError:  # the whole model says what is wrong with it
        return None
    events = repeated(short.events, long.events, fewer.stacks, fewer.extra) if short.notes == long.notes else None
    if events is None:
        _whole.add(hash(repr(fewer)))
        return None
    paged = long.paged_bytes + (long.paged_bytes - short.paged_bytes) * fewer.extra
    return Trace(events, paged, long.notes)
