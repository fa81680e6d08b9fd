"""Accelerators that run no CUDA: AMD's, Apple's, Intel's and Google's, what a program gets of each, and its source.

No step is simulated on them: their memory is asked what weights, adapters and caches leave of it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from inspector.errors import InspectorError
from inspector.units import GiB, MiB

Maker = Literal["AMD", "Apple", "Google", "Intel"]
Told = Literal["printed", "by others of its maker", "label"]

BITSANDBYTES = {"AMD": "0.50", "Apple": "0.50", "Intel": "0.48"}
"""From which version on its guide names a maker as supported; Google's is in none.

Source: huggingface.co/docs/bitsandbytes, installation, v0.48.1 (Intel XPU and Gaudi; ROCm experimental) and v0.50.0
(AMD and Apple Silicon as well).
"""


MPS_REFUSES_AT = 1.7
"""Times the recommended working set at which PyTorch's allocator for Metal refuses.

Source: ``default_high_watermark_ratio`` of ATen/mps/MPSAllocator.h, a file of every wheel of PyTorch.
"""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One device of a maker other than NVIDIA, as a program sees it: of a board with two chips it is one.

    ``usable_bytes`` is what a driver or PyTorch prints (``told`` printed); where that is not known, the label less the
    most that a printed one of its maker loses, of Apple's the smaller share of the nearest printed sizes; where its
    maker has no printed one at all, the label itself, of which a program gets less.
    """

    name: str
    maker: Maker
    architecture: str
    label_gb: int
    usable_bytes: int
    told: Told
    unified: bool
    sources: tuple[str, ...]

    @property
    def bitsandbytes(self) -> str:
        """The version of bitsandbytes from which it is supported, "" for never."""
        return BITSANDBYTES.get(self.maker, "")

    @property
    def refused_bytes(self) -> int:
        """Beyond so many bytes PyTorch refuses; on Apple's, which swap before, more than is usable at ease."""
        return int(self.usable_bytes * MPS_REFUSES_AT) if self.maker == "Apple" else self.usable_bytes

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of its figure, a line each."""
        said = {
            "printed": f"{self.name}: {self.usable_bytes / GiB:.2f} GiB as it is printed",
            "by others of its maker": f"{self.name}: {self.usable_bytes / GiB:.2f} GiB, reckoned by what others of "
            f"{self.maker}'s lose of their label",
            "label": f"{self.name}: {self.label_gb} GiB on its label, of which a program gets less",
        }[self.told]
        lines = [said, "not checked against a measurement on such a device"]
        if self.maker == "Apple":
            lines.append(f"{self.name}: that is Metal's recommended working set; PyTorch refuses at "
                         f"{MPS_REFUSES_AT} times as much, and the system swaps before")  # fmt: skip
        if self.unified:
            lines.append(f"{self.name}: the memory is the system's own; what else runs takes its part")
        return tuple(lines)


@cache
def accelerators() -> tuple[Accelerator, ...]:
    """Every catalogued one, in the order of the file: by maker, older first."""
    rows = json.loads((files("inspector") / "data" / "accelerators.json").read_text(encoding="utf-8"))["accelerators"]
    return tuple(_read(row, rows) for row in rows)


def _read(row: dict[str, Any], rows: list[dict[str, Any]]) -> Accelerator:
    printed = {each["label_gb"]: each["total_mib"] / (1024 * each["label_gb"]) for each in rows
               if each["maker"] == row["maker"] and each["total_mib"]}  # fmt: skip
    label = row["label_gb"]
    told: Told = "printed"
    if (total := row["total_mib"]) is None:
        told = "by others of its maker" if printed else "label"
        shares = list(printed.values()) or [1.0]
        if row["maker"] == "Apple":
            # The share grows with the size, and with macOS: the smaller of the two beside it is on the safe side.
            below, above = (fit(size for size in printed if (size < label) is less) for fit, less in _BESIDE)
            shares = [printed[below], printed[above]]
        total = int(1024 * label * min(shares))
    return Accelerator(row["name"], row["maker"], row["architecture"], label, total * MiB, told, row["unified_memory"],
                       tuple(row["sources"]))  # fmt: skip


_BESIDE = ((max, True), (min, False))

_SAYS_NOTHING = re.compile(
    r"\b(?:amd|radeon|instinct|intel|apple|google|cloud|graphics|accelerator|gpu|hpu|silicon|chip|macbook|mac|studio)\b"
    r"|\([rtmc]{1,2}\)|unified|memory|[\s_\-()'\"\u2122\u00ae,]"
)
_LONGEST = 80


def _normal(text: str) -> str:
    text = _SAYS_NOTHING.sub("", re.sub(r"(?<=\d)\s*gi?b?\b", "gb", text.lower()))
    return text.removeprefix("arc").removeprefix("rx")


@cache
def _keys() -> dict[str, tuple[str, ...]]:
    rows = json.loads((files("inspector") / "data" / "accelerators.json").read_text(encoding="utf-8"))["accelerators"]
    found: dict[str, tuple[str, ...]] = {}
    for row in rows:
        for text in (row["name"], *row["also"]):
            for key in {_normal(text), _normal(text).removeprefix("tpu")}:
                found[key] = tuple(dict.fromkeys((*found.get(key, ()), row["name"])))
    return found


def find_accelerator(text: str) -> Accelerator | None:
    """One by its name, in any spelling; None where none is meant.

    Raises InspectorError where several are: a chip of Apple's without its memory.
    """
    wanted = _normal(text[:_LONGEST])
    sized = re.fullmatch(r"(.+?)(\d{1,3})gb", wanted)
    keys = _keys()
    names = keys.get(wanted, ())
    if not names and sized:
        # A size behind a name that needs none: MI300X 192GB.
        whole = {each.name: each for each in accelerators()}
        names = tuple(name for name in keys.get(sized[1], ()) if whole[name].label_gb == int(sized[2]))
    if not names and len(wanted) > 1:
        starts = (key for key in keys if key.startswith(wanted))
        # The M1 of an M1 Max, and not the M1 of a number that goes on.
        names = tuple(dict.fromkeys(name for key in starts if not _cut(key, wanted) for name in keys[key]))
    found = [each for each in accelerators() if each.name in names]
    if len(found) > 1:
        said = ", ".join(each.name for each in found)
        raise InspectorError(f"{text!r} could be several accelerators", hint=f"say one of {said}")
    return found[0] if found else None


def exactly(text: str) -> Accelerator | None:
    """One by a whole name of its own, not by a part of it; None where none is meant so."""
    names = _keys().get(_normal(text[:_LONGEST]), ())
    return next((each for each in accelerators() if names == (each.name,)), None)


def _cut(key: str, wanted: str) -> bool:
    """Whether a name begins with a text that ends within one of its numbers; a size behind it is another number."""
    return wanted[-1].isdigit() and re.match(r"\d(?!\d{0,2}gb$)", key[len(wanted) :]) is not None
