"""How a model is spread over cards by ``device_map``: the words of ``from_pretrained``. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inspector.errors import InspectorError
from inspector.simulate.setup.words import check_words
from inspector.units import parse_size

How = Literal["auto", "balanced", "balanced_low_0", "sequential"]
MOST_CARDS = 64
"""More cards than any machine has: a slip of the keys."""


@dataclass(frozen=True, slots=True)
class DeviceMap:
    """``device_map=how`` on ``cards`` cards alike.

    ``max_memory`` is the argument of that name: bytes by card number, ``cpu`` and ``disk``; empty, nothing was given,
    and each card offers what is free on it, the host as much as it takes.
    """

    how: How = "auto"
    cards: int = 1
    max_memory: tuple[tuple[int | str, int], ...] = ()

    def __post_init__(self) -> None:
        """Raise InspectorError for a word that is not known, and for a number of cards that no machine has."""
        check_words(self)
        if isinstance(self.cards, bool) or not 1 <= self.cards <= MOST_CARDS:
            raise InspectorError(f"gpus must be a whole number from 1 to {MOST_CARDS}, not {self.cards!r}")
        for place, _ in self.max_memory:
            if isinstance(place, int) and not 0 <= place < self.cards:
                raise InspectorError(f"--max-memory names card {place} of {self.cards}: they count from 0")


def device_map(how: str | None, cards: int | None, max_memory: object = None) -> DeviceMap | None:
    """What was asked for; None where nothing was. ``max_memory`` is ``0=10GiB,cpu=60GiB`` or a mapping as accelerate's.

    Raises InspectorError for a word, a number or a size that is none.
    """
    if how is None and cards is None and not max_memory:
        return None
    return DeviceMap(how or "auto", 1 if cards is None else cards, _limits(max_memory))  # type: ignore[arg-type]


def _limits(said: object) -> tuple[tuple[int | str, int], ...]:
    if not said:
        return ()
    if isinstance(said, str):
        pairs = [part.partition("=")[::2] for part in said.replace(":", "=").split(",") if part.strip()]
    elif isinstance(said, dict):
        pairs = list(said.items())
    else:
        pairs = list(said)  # type: ignore[call-overload]
    found: dict[int | str, int] = {}
    for name, size in pairs:
        place = str(name).strip()
        if place not in {"cpu", "disk"} and not place.isdecimal():
            raise InspectorError(
                f"--max-memory knows no {place!r}", hint="cards by number, cpu and disk: 0=10GiB,1=20GiB,cpu=60GiB"
            )
        key = int(place) if place.isdecimal() else place
        if key in found:
            raise InspectorError(f"--max-memory gives {place} twice")
        found[key] = size if isinstance(size, int) else parse_size(str(size))
    return tuple(found.items())
