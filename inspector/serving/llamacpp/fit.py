"""How llama.cpp fits itself to a card where nobody said how many layers lie there, and the largest that fit.

Source: llama.cpp common/fit.cpp (``common_params_fit``, ``--fit``, pull request 16653 of 2025-12): the context is
lowered first, where it was not said, and then layers are left with the host, until a margin is free (``--fit-target``).
"""

from __future__ import annotations

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
    """Bytes of the caches of the last ``count`` layers; none with ``--no-kv-offload``.

    The output is one of the layers counted, and keeps nothing.
    """
    if settings.no_kv_offload:
        return ()
    return made.layers[max(len(made.layers) - count, 0) :] if count else ()


def layers_that_fit(
    there: Placed, made: Cells, settings: LlamaCppSettings, off: tuple[bool, ...], room: int, most: int
) -> int:
    """The largest ``-ngl`` whose weights and caches lie in ``room`` bytes, at most what was asked for."""
    for count in range(most, 0, -1):
        if there.on_card(count, off) + sum(kept_on_card(made, count, settings)) <= room:
            return count
    return 0


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
