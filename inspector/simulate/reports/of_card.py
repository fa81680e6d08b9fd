"""What happens on one of several cards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.simulate.events import Alloc, EmptyCache, Free

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from inspector.simulate.events import Event


def events_of(events: Iterable[Event], cards: Mapping[int, int], card: int) -> tuple[Event, ...]:
    """The events of one card, by the card of each block; stages are everybody's."""

    def here(event: Event) -> bool:
        if isinstance(event, (Alloc, Free)):
            return cards[event.block] == card
        return not isinstance(event, EmptyCache) or event.card in {None, card}

    return tuple(event for event in events if here(event))
