"""Sizes as PyTorch prints them, with the bytes they may be, and what the allocator asks for a tensor."""

from __future__ import annotations

import re
from dataclasses import dataclass

from inspector.simulate.allocator.settings import MIN_LARGE_ALLOC, SMALL_SIZE, AllocatorSettings
from inspector.units import BLOCK_BYTES, GiB, KiB, MiB, TiB

_DEFAULTS = AllocatorSettings()
_UNITS = {"bytes": 1, "b": 1, "k": KiB, "m": MiB, "g": GiB, "t": TiB}
SIZE = r"\d[\d,]{0,20}(?:\.\d{1,6})?\s*(?:bytes|[KMGT]i?B?|B)\b"
"""A printed size; all that is in these messages is binary, also where a unit says MB (MPS, llama.cpp, ollama)."""


@dataclass(frozen=True, slots=True)
class Size:
    """A printed size: ``nbytes`` as printed, and the least and the most it may be before it was rounded."""

    text: str
    nbytes: int
    low: int
    high: int


def read_size(text: str) -> Size:
    """The size of a text that `SIZE` matches."""
    words = re.sub(r"\s+", " ", text.strip())
    number = "".join(letter for letter in words if letter.isdigit() or letter in ",.")
    unit = words[len(number) :].strip()
    factor = _UNITS["bytes" if unit.lower() == "bytes" else unit[0].lower()]
    digits = len(number.partition(".")[2])
    value = float(number.replace(",", "")) * factor
    # Half of the last digit that is printed, either way; bytes are printed whole.
    half = 0.0 if factor == 1 else 0.5 * factor / 10**digits
    return Size(words, round(value), max(int(value - half), 0), int(value + half))


def of_bytes(nbytes: int) -> Size:
    """A size that is known to the byte."""
    return Size(as_printed(nbytes), nbytes, nbytes, nbytes)


def as_printed(nbytes: int) -> str:
    """As the allocator prints it. Source: ``format_size``, pytorch ``c10/cuda/CUDACachingAllocator.cpp``."""
    if nbytes <= KiB:
        return f"{nbytes} bytes"
    for unit, factor in (("KiB", KiB), ("MiB", MiB)):
        if nbytes <= factor * KiB:
            return f"{nbytes / factor:.2f} {unit}"
    return f"{nbytes / GiB:.2f} GiB"


def asked(nbytes: int) -> int:
    """Bytes that the message says for a tensor: a block of whole 512 bytes, then the segment that is made for it."""
    return _DEFAULTS.segment_size(_DEFAULTS.round_size(nbytes))


@dataclass(frozen=True, slots=True)
class Request:
    """What a tensor must take to print what was printed: between ``low`` and ``high`` bytes, both possible.

    ``open`` says that the size tells nothing: all up to 1 MiB ask for 2 MiB, and all up to 10 MiB for 20.
    """

    low: int
    high: int
    open: bool

    def holds(self, nbytes: int) -> bool:
        """Whether a tensor of so many bytes would print it."""
        return self.low <= nbytes <= self.high


def request_of(tried: Size, *, exact: bool = False) -> Request:
    """The tensors that ask for what was printed; ``exact`` where no allocator has rounded it, as on the CPU."""
    if exact:
        return Request(tried.low, tried.high, open=False)
    if tried.nbytes <= asked(1):
        return Request(1, SMALL_SIZE, open=True)
    if tried.nbytes == asked(SMALL_SIZE + 1):
        return Request(SMALL_SIZE + 1, tried.nbytes, open=True)
    # The request is whole steps of 2 MiB: those that print so, and of the least every tensor that is rounded up to it.
    step = asked(1)
    least = -(-max(tried.low, 1) // step) * step
    most = tried.high // step * step
    if least > most:  # no such request: printed by an allocator that does not round (HIP pools, MPS)
        return Request(tried.low, tried.high, open=False)
    # From 8 to 10 MiB a tensor asks for 20: what prints 10.00 MiB is a block of just that.
    return Request(max(least - step, MIN_LARGE_ALLOC - BLOCK_BYTES) + 1, most, open=False)
