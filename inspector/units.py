"""Bytes and counts in words. Decimal units (MB = 10^6) and binary units (MiB = 2^20) never mix."""

from __future__ import annotations

import re

from inspector.errors import InspectorError

KB, MB, GB, TB = 10**3, 10**6, 10**9, 10**12
KiB, MiB, GiB, TiB = 2**10, 2**20, 2**30, 2**40

BLOCK_BYTES = 512
"""The CUDA caching allocator rounds every allocation up to this.

Source: ``kMinBlockSize`` in pytorch ``c10/cuda/CUDACachingAllocator.cpp``.
"""

_SIZES = {"B": 1, "KB": KB, "MB": MB, "GB": GB, "TB": TB, "KIB": KiB, "MIB": MiB, "GIB": GiB, "TIB": TiB}


def block_bytes(nbytes: int) -> int:
    """Bytes the CUDA caching allocator hands out for a tensor of ``nbytes`` (0 stays 0)."""
    return -(-nbytes // BLOCK_BYTES) * BLOCK_BYTES


def megabytes(nbytes: int, digits: int = 1) -> str:
    """``5591548160`` as ``'5,591.5 MB'`` (MB = 10^6 bytes)."""
    return f"{nbytes / MB:,.{digits}f} MB"


def mebibytes(nbytes: int, digits: int = 1) -> str:
    """``2097152`` as ``'2.0 MiB'`` (MiB = 2^20 bytes)."""
    return f"{nbytes / MiB:,.{digits}f} MiB"


def gibibytes(nbytes: int, digits: int = 2) -> str:
    """``17179869184`` as ``'16.00 GiB'`` (GiB = 2^30 bytes)."""
    return f"{nbytes / GiB:,.{digits}f} GiB"


def count(number: int) -> str:
    """``8030261248`` as ``'8,030,261,248'``."""
    return f"{number:,}"


def short_count(number: int) -> str:
    """``8030261248`` as ``'8.03B'``: three significant digits, for labels beside an exact figure."""
    for size, letter in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
        # From 0.9995 of a unit on, three digits round up to it: never "1e+03K".
        if number * 2000 >= size * 1999:
            return f"{number / size:.3g}{letter}"
    return str(number)


def percent(part: int, whole: int, digits: int = 1) -> str:
    """A share in percent. ``0%`` and ``100%`` appear only when exact: rounding shows ``<0.1%`` and ``>99.9%``."""
    if whole == 0 or part == 0:
        return "0%"
    if part == whole:
        return "100%"
    # A rounded 0 or 100 would say that there is none, or nothing else.
    share, smallest = 100 * part / whole, 10.0**-digits
    # Before the rounding, which would show a share that is there as none, and one that is not all as all.
    if 0 < share < smallest:
        return f"<{smallest:.{digits}f}%"
    if 100 - smallest < share < 100:
        return f">{100 - smallest:.{digits}f}%"
    return f"{share:.{digits}f}%"


def parse_size(text: str) -> int:
    """Bytes in a size such as ``16GiB``, ``24 GB`` or ``80000MiB``. A bare number is refused: no unit, no size.

    Raises InspectorError when the text is not a positive number with a unit.
    """
    # At most 24 digits: of over 300 a float is infinite, which int() refuses with an error of its own.
    match = re.fullmatch(r"\s*([0-9]{1,24}(?:\.[0-9]{1,24})?)\s*((?:[KMGT]i?)?B)\s*", text, re.IGNORECASE)
    size = int(float(match[1]) * _SIZES[match[2].upper()]) if match else 0
    if size <= 0:
        raise InspectorError(f"{text!r} is not a size", hint="write a number and a unit, such as 16GiB or 24GB")
    return size
