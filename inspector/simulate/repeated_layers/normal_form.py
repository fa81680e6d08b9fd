"""A trace by layers: what is allocated, in order, and after which allocation each block dies.

Frees that follow one another change nothing in between, so their order is no part of the form. The allocations of a
stage go over the layers once or several times, up or down, each time in a sweep: a stretch for every layer, which ends
where the next layer's begins. What has no layer of its own stays in the stretch it comes in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from inspector.simulate.events import Alloc, Free

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.simulate.events import Event

    Place = tuple[int, int | None, int]
    """Where an event is: the part of the trace, the layer within it, the event within the layer's stretch."""


@dataclass(slots=True)
class Stretch:
    """Events of one layer in one sweep, or of none (``layer`` None).

    ``names`` are the same for the same thing in another layer; ``sizes`` are bytes, 0 for what allocates nothing;
    ``deaths`` are the places of the events after which the blocks are freed, None for those that live to the end.
    """

    layer: int | None
    names: list[Any] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    deaths: list[Place | None] = field(default_factory=list)


@dataclass(slots=True)
class Part:
    """One sweep, or what is between two: then its only stretch has no layer."""

    stretches: dict[int | None, Stretch] = field(default_factory=dict)
    step: int = 0
    """1 for a sweep from the first layer up, -1 for one down, 0 where that does not show."""


class ByLayers:
    """A trace by its layers.

    Args:
        events: the trace.
        stacks: paths of which the next part is a layer's number, such as ``model.layers``.
    """

    def __init__(self, events: Sequence[Event], stacks: tuple[str, ...]) -> None:
        self._numbered = re.compile(rf"((?:^|\.)(?:{'|'.join(map(re.escape, stacks))})\.)(\d+)(?=\.|$)")
        self._modules: dict[str, tuple[str, int | None, str]] = {}
        self.parts: list[Part] = [Part({None: Stretch(None)})]
        place: Place | None = None
        born: dict[int, tuple[Stretch, int]] = {}
        for event in events:
            if isinstance(event, Free):
                stretch, at = born.pop(event.block)
                stretch.deaths[at] = place
                continue
            stretch = self._stretch_of(event)
            at = len(stretch.names)
            place = len(self.parts) - 1, stretch.layer, at
            if isinstance(event, Alloc):
                before, layer, after = self._split(event.module)
                born[event.block] = stretch, at
                stretch.names.append((event.kind, before, layer is not None, after, event.source))
                stretch.sizes.append(event.nbytes)
            else:
                stretch.names.append(event)
                stretch.sizes.append(0)
            stretch.deaths.append(None)

    def _stretch_of(self, event: Event) -> Stretch:
        """The stretch that an event belongs to, begun where it is the first of it."""
        part = self.parts[-1]
        now = next(reversed(part.stretches))
        if not isinstance(event, Alloc):
            # Stages begin with nothing said of any layer.
            if now is None:
                return part.stretches[None]
            return self._begin(None)
        layer = self._split(event.module)[1]
        if layer is None or layer == now:
            return part.stretches[now]
        if now is None:
            return self._begin(layer)
        step = 1 if layer > now else -1
        if part.step not in {0, step}:
            return self._begin(layer)
        part.step = step
        part.stretches[layer] = Stretch(layer)
        return part.stretches[layer]

    def _begin(self, layer: int | None) -> Stretch:
        self.parts.append(Part({layer: Stretch(layer)}))
        return self.parts[-1].stretches[layer]

    def _split(self, module: str) -> tuple[str, int | None, str]:
        """A module's path before the layer's number, the number if any, and what is after it."""
        known = self._modules.get(module)
        if known is None:
            found = self._numbered.search(module)
            known = (module, None, "")
            if found is not None:
                known = module[: found.end(1)], int(found[2]), module[found.end() :]
            self._modules[module] = known
        return known
