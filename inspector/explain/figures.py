"""The figures of one message, each with what it counts; every form that PyTorch has printed, from 1.0 on."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from inspector.explain.sizes import SIZE, Size, of_bytes, read_size

if TYPE_CHECKING:
    from inspector.explain.kinds import Kind

MOST_PROCESSES = 64
"""Processes on one card that are read: a driver lists no more contexts than that in practice."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a message says; None is "not said".

    ``free`` and ``capacity`` are the whole card's, as the driver tells them. ``reserved_total`` (1.4 to 2.0) includes
    what is allocated, ``reserved_unallocated`` (from 2.1) and ``cached`` (before 1.4) do not. ``needed`` and
    ``available`` are those of a server that refuses to start; ``other`` is what MPS counts beside PyTorch.
    ``form`` says how the message is put, ``torch`` which versions put it so.
    """

    form: str = ""
    torch: str = ""
    gpu: int | None = None
    tried: Size | None = None
    capacity: Size | None = None
    free: Size | None = None
    allowed: Size | None = None
    other_processes: tuple[Size, ...] = ()
    this_process: Size | None = None
    allocated_by_pytorch: Size | None = None
    in_private_pools: Size | None = None
    reserved_unallocated: Size | None = None
    reserved_total: Size | None = None
    cached: Size | None = None
    other: Size | None = None
    needed: Size | None = None
    available: Size | None = None
    tokens_wanted: int | None = None
    tokens_possible: int | None = None

    def sizes(self) -> dict[str, Size]:
        """Every size that is said by itself, in the order above."""
        found = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Size)}

    @property
    def cached_unused(self) -> Size | None:
        """Reserved by the allocator and in no tensor, whichever way the message puts it."""
        if self.reserved_unallocated is not None or self.cached is not None:
            return self.reserved_unallocated or self.cached
        whole, used = self.reserved_total, self.allocated_by_pytorch
        if whole is None or used is None:
            return None
        # Both were rounded: the difference is as uncertain as the two together.
        least, most = max(whole.low - used.high, 0), max(whole.high - used.low, 0)
        return Size("", max(whole.nbytes - used.nbytes, 0), least, most)


_SAID = {
    "tried": rf"[Tt]ried\s+to\s+allocate\s+({SIZE})|Requested\s*:\s*({SIZE})",
    "capacity": rf"total\s+capac(?:i)?ty\s+of\s+({SIZE})|({SIZE})\s+total\s+capacity|Device\s+limit\s*:\s*({SIZE})",
    "free": rf"of\s+which\s+({SIZE})\s+is\s+free|;\s*({SIZE})\s+free\b|"
    rf"Free\s+\(according\s+to\s+CUDA\)\s*:\s*({SIZE})",
    "allowed": rf"({SIZE})\s+allowed",
    "this_process": rf"this\s+process\s+has\s+({SIZE})",
    "allocated_by_pytorch": rf"({SIZE})\s+is\s+allocated\s+by\s+PyTorch|({SIZE})\s+already\s+allocated|"
    rf"MPS\s+allocated:\s+({SIZE})|Currently\s+allocated\s*:\s*({SIZE})",
    "in_private_pools": rf"with\s+({SIZE})\s+allocated\s+in\s+private\s+pools",
    "reserved_unallocated": rf"({SIZE})\s+is\s+reserved\s+by\s+PyTorch\s+but\s+unallocated",
    "reserved_total": rf"({SIZE})\s+reserved\s+in\s+total",
    "cached": rf"({SIZE})\s+cached",
    "other": rf"other\s+allocations:\s+({SIZE})",
}
_OTHER = re.compile(rf"(?<!this )\b[Pp]rocess\s+\d+\s+has\s+({SIZE})\s+memory")
_GPU = re.compile(r"(?:GPU|on [Dd]evice|Allocation on device)\s*(\d{1,4})\b(?=[:;\s).]|$)")
_PATTERNS = {name: re.compile(pattern) for name, pattern in _SAID.items()}
_MPS_MOST = re.compile(rf"max\s+allowed:\s+({SIZE})")
_BYTES = re.compile(r"you\s+tried\s+to\s+allocate\s+(\d{1,20})\s+bytes|trying\s+to\s+allocate\s+(\d{1,20})\s+bytes|"
                    r"buffer\s+of\s+size\s+(\d{1,20})")  # fmt: skip
_START = {
    "tried": re.compile(rf"[Uu]nable\s+to\s+allocate\s+({SIZE})|allocating\s+({SIZE})\s+on\s+device"),
    "needed": re.compile(rf"({SIZE})\s+KV\s+cache\s+is\s+needed|system\s+memory\s+\(({SIZE})\)|"
                         rf"GPU\s+memory\s+utilization\s+\([\d.]+,\s+({SIZE})\)"),
    "available": re.compile(rf"available\s+KV\s+cache\s+memory\s+\(({SIZE})\)|than\s+is\s+available\s+\(({SIZE})\)"),
}  # fmt: skip
_ON_DEVICE = re.compile(r"Free memory on device[^(\n]{0,40}\((\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)\s+(GiB|MiB)\)")
_WANTED = re.compile(r"max\s+seq\s+len\s+\((\d{1,12})\)")
_POSSIBLE = re.compile(r"stored\s+in\s+KV\s+cache\s+\((\d{1,12})\)|maximum\s+model\s+length\s+is\s+(\d{1,12})")


def read_figures(text: str, kind: Kind) -> Figures:
    """The figures of a message that begins where ``text`` does; it may be wrapped, or cut off at any place."""
    text = _message(text, kind)
    found = {name: size for name, pattern in _PATTERNS.items() if (size := _size(pattern, text))}
    if match := _BYTES.search(text):
        found["tried"] = of_bytes(int(next(group for group in match.groups() if group)))
    if kind.where != "card" or kind.name == "mps":
        found |= {name: size for name, pattern in _START.items() if (size := _size(pattern, text))}
    if kind.name == "mps" and (size := _size(_MPS_MOST, text)):
        found["allowed"] = size
    if match := _ON_DEVICE.search(text):
        found |= {name: read_size(f"{match[at]} {match[3]}") for at, name in ((1, "free"), (2, "capacity"))}
    card = _GPU.search(text)
    others = tuple(read_size(match[1]) for match in _OTHER.finditer(text))[:MOST_PROCESSES]
    form, torch = _form(text, kind, found)
    wanted, possible = _WANTED.search(text), _POSSIBLE.search(text)
    return Figures(
        form=form,
        torch=torch,
        gpu=int(card[1]) if card else None,
        other_processes=others,
        tokens_wanted=int(wanted[1]) if wanted else None,
        tokens_possible=int(next(group for group in possible.groups() if group)) if possible else None,
        **found,
    )


def _message(text: str, kind: Kind) -> str:
    """The text as far as it is this message: up to an empty line, or to the next message of the same kind."""
    end = re.search(r"\n\s*\n", text)
    text = text[: end.start()] if end else text
    again = re.compile(kind.pattern).search(text, 1)
    return text[: again.start()] if again else text


def _size(pattern: re.Pattern[str], text: str) -> Size | None:
    match = pattern.search(text)
    said = next((group for group in match.groups() if group), None) if match else None
    return read_size(said) if said else None


def _form(text: str, kind: Kind, found: dict[str, Size]) -> tuple[str, str]:
    """How it is put, and which PyTorch puts it so; empty for what PyTorch's caching allocator did not print."""
    if kind.name not in {"cuda", "hip", "xpu"}:
        return "", ""
    # Newest first: each form has words that no older one has. Forms and versions as data/truth/oom_messages.json lists
    # them; the ends of the ranges are from knowledge of the allocator and were not looked up at each release.
    for form, torch, word in (
        ("2.9", "2.9 or newer", r"\bPYTORCH_ALLOC_CONF"),
        ("2.2", "2.2 to 2.8", r"expandable_segments"),
        ("2.1", "2.1", r"capacty|but\s+unallocated\s+memory\s+is\s+large\s+try\s+setting\s+max_split"),
        ("1.10", "1.10 to 2.0", r"reserved\s+in\s+total.{0,80}If\s+reserved"),
        ("1.4", "1.4 to 2.0", r"reserved\s+in\s+total"),
        ("1.0", "1.0 to 1.3", r"\d\s+[KMG]?i?B?\s*cached|bytes cached"),
    ):
        if re.search(word, text, re.DOTALL):
            return form, torch
    if "capacity" in found and re.search(r"has\s+a\s+total\s+capacity", text):
        return "2.2", "2.2 or newer"  # cut before the hint that names the variable
    return "cut", ""
