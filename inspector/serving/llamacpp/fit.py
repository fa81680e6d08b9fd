"""How llama.cpp fits itself to a card where nobody said how many layers lie there, and the largest that fit.

Source: llama.cpp common/fit.cpp (``common_params_fit``, ``--fit``, pull request 16653 of 2025-12): the context is
lowered first, where it was not said, and then layers are left with the host, until a margin is free (``--fit-target``);
of a mixture the experts of the last layers, and whole layers only where all experts with the host are not enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.serving.llamacpp.kv import cells

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.serving.figures import Span
    from inspector.serving.kv_layers import KvLayer
    from inspector.serving.llamacpp.kv import Cells
    from inspector.serving.llamacpp.settings import LlamaCppSettings
    from inspector.serving.llamacpp.weights import Placed

SINCE = 7407
"""The first build with ``--fit``, which is on unless ``-ngl`` is said."""


def kept_on_card(made: Cells, count: int, settings: LlamaCppSettings) -> tuple[int, ...]:
    """Bytes of the caches of the last ``count`` repeating layers; none with ``--no-kv-offload``."""
    if settings.no_kv_offload:
        return ()
    return made.layers[max(len(made.layers) - count, 0) :] if count else ()


def layers_that_fit(
    there: Placed, made: Cells, settings: LlamaCppSettings, off: tuple[int, ...], room: int, most: int
) -> int:
    """The largest ``-ngl`` whose weights and caches lie in ``room`` bytes, at most what was asked for."""
    for count in range(most, 0, -1):
        if there.on_card(count, off) + sum(kept_on_card(made, there.repeating(count), settings)) <= room:
            return count
    return 0


@dataclass(frozen=True, slots=True)
class Mixture:
    """A mixture as it fits itself: layers on the card, bytes of each that are with the host, layers whose experts are.

    ``parted`` says what of one more layer's is, empty for none.
    """

    count: int
    off: tuple[int, ...]
    experts_off: int
    parted: str = ""


def fitted_mixture(there: Placed, made: Cells, settings: LlamaCppSettings, room: int) -> Mixture:
    """What of a mixture lies in ``room`` bytes: layers without experts from the back, then experts from the front.

    Its patterns begin behind the output, which it counts as the first whole layer, so that the experts of one layer
    more than it counts are on the card.
    """
    every = len(there.layers) + 1

    def used(count: int, parts: int, first: int | None = None) -> int:
        off = _off(there, parts, first)
        return there.on_card(count, off) + sum(kept_on_card(made, there.repeating(count), settings))

    count = next((count for count in range(every, 0, -1) if used(count, count - 1) <= room), 0)
    if count < every:
        return Mixture(count, _off(there, max(count - 1, 0)), max(count - 2, 0))
    parts = next((parts for parts in range(every) if used(every, parts) <= room), every - 1)
    parted = ""
    size = None
    if parts and (first := every - parts) < len(there.layers):
        down, both = there.downs[first], there.experts[first] - there.downs[first]
        for said, left in (("gate and down", down + both // 2), ("down", down)):
            if used(every, parts, left) >= room:
                break
            size, parted = left, said
    return Mixture(every, _off(there, parts, size), max(parts - 1 - bool(parted), 0), parted)


def _off(there: Placed, parts: int, first: int | None = None) -> tuple[int, ...]:
    """Bytes of experts with the host where the last ``parts`` layers, the output one of them, are partial.

    ``first`` is what the first of them leaves there, all its experts where it is None.
    """
    begin = len(there.layers) + 1 - parts
    return tuple(
        0 if number < begin else first if number == begin and first is not None else size
        for number, size in enumerate(there.experts)
    )


def fitted_context(context: int, least: int, need: Callable[[int], int], room: int) -> int:
    """The context as it is lowered until ``need`` bytes of it lie in the room, in steps of 256 tokens.

    ``least`` is where it stops (``--fit-ctx``).
    """
    low, high = max(least // 256, 1), max(context, least, 256) // 256
    if need(context) <= room or context <= least:
        return context
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if need(middle * 256) <= room else (low, middle - 1)
    return low * 256


def longest(
    layers: tuple[KvLayer, ...], settings: LlamaCppSettings, count: int, left: Span, most: int
) -> tuple[int, ...]:
    """The largest context whose caches on the card lie in what is left: at the least, usual, at the most."""

    def fits(context: int, room: int) -> bool:
        return sum(kept_on_card(cells(layers, settings, context), count, settings)) <= room

    found = []
    for room in (left.low, left.value, left.high):
        low, high = 0, max(most, 1)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if fits(middle, room) else (low, middle - 1)
        found.append(low)
    return tuple(found)
