"""Graphics cards: what the driver lets a program have, what the card can compute, and where each figure is from.

The label is never the memory: a "16 GB" T4 gives a program 14.56 GiB. The data file names the source of every figure.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from inspector.errors import InspectorError, closest
from inspector.gpus.other_makers import Accelerator, exactly, find_accelerator
from inspector.gpus.sources import sources_of
from inspector.gpus.words import cuts_a_number, machine, normal, of_another_maker, several, size_behind, without_series
from inspector.units import MiB, parse_size

Basis = Literal["torch", "nvidia-smi", "size"]


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card.

    ``usable_bytes`` is ``torch.cuda.get_device_properties(0).total_memory`` (``basis`` torch); where only nvidia-smi's
    total is published it is that total less the most that any catalogued card of at most its size loses between the
    two (``basis`` nvidia-smi); for ``--vram`` it is what was said (``basis`` size). ``context_bytes`` is what a
    process holds besides the allocator's segments; when not measured on this card, the largest one measured.
    ``flash_attn_bytes`` is how much more that was with some versions of flash-attn, 0 where nobody has measured it.
    ``label_gb`` is what the box says, 0 when there is none. ``unified`` memory is the system's own: the processor and
    all that runs on it take theirs from ``usable_bytes``. ``notes`` are what to know of a figure of another maker's.
    """

    name: str
    device_name: str
    generation: str
    capability: tuple[int, int]
    multiprocessors: int
    usable_bytes: int
    basis: Basis
    context_bytes: int
    context_measured: bool
    sources: tuple[str, ...] = ()
    label_gb: int = 0
    unified: bool = False
    flash_attn_bytes: int = 0
    notes: tuple[str, ...] = ()

    @property
    def with_article(self) -> str:
        """``a T4``, ``an RTX 4090``: by how the name's first letter or number is read aloud."""
        number = re.match(r"\d+", self.name)
        vowel = number[0][0] == "8" or number[0] in {"11", "18"} if number else self.name[0] in "AEFHILMNORSX"
        return f"{'an' if vowel else 'a'} {self.name}"

    @property
    def available_bytes(self) -> int:
        """What the caching allocator can get: usable memory less the context."""
        return self.usable_bytes - self.context_bytes

    @property
    def bf16(self) -> bool:
        """bfloat16 in hardware: compute capability 8.0 (CUDA C++ Programming Guide, "Arithmetic Instructions")."""
        return self.capability >= (8, 0)

    @property
    def fp8(self) -> bool:
        """fp8 in hardware: compute capability 8.9 (the same table)."""
        return self.capability >= (8, 9)

    @property
    def flash_attention_2(self) -> bool:
        """Ampere or newer (flash-attention README; PyTorch's ``check_sm_version`` in sdp_utils.cpp, sm80)."""
        return self.capability >= (8, 0)

    @property
    def int8(self) -> bool:
        """LLM.int8() runs: compute capability 7.5 (bitsandbytes' installation guide)."""
        return self.capability >= (7, 5)

    @property
    def bitsandbytes(self) -> bool:
        """The other kernels of bitsandbytes: compute capability 6.0 (its installation guide, 0.50)."""
        return self.capability >= (6, 0)

    @property
    def pytorch(self) -> bool:
        """Some published build of PyTorch has kernels: 5.0 (``PYTORCH_RELEASES_CODE_CC`` in torch/cuda, CUDA 12.6)."""
        return self.capability >= (5, 0)


@cache
def catalogue() -> tuple[Gpu, ...]:
    """Every catalogued card, oldest generation first."""
    rows = json.loads((files("inspector") / "data" / "gpus.json").read_text(encoding="utf-8"))["gpus"]
    lost = [
        (row["smi_total_mib"], row["smi_total_mib"] - row["torch_total_mib"])
        for row in rows
        if row["smi_total_mib"] and row["torch_total_mib"]
    ]
    # Where it was not measured the largest is taken, so that an error is on the safe side.
    context = max(row["context_mib"] or 0 for row in rows)
    cards = []
    for row in rows:
        smi, usable = row["smi_total_mib"], row["torch_total_mib"]
        basis: Basis = "torch" if usable else "nvidia-smi"
        if not usable:
            # A card smaller than all that were measured is taken to lose what the smallest of those does.
            size = max(smi, min(total for total, _ in lost))
            usable = smi - max(gap for total, gap in lost if total <= size)
        major, minor = row["compute_capability"].split(".")
        cards.append(
            Gpu(
                name=row["name"],
                device_name=row["device_name"],
                generation=row["generation"],
                capability=(int(major), int(minor)),
                multiprocessors=row["multiprocessors"],
                usable_bytes=usable * MiB,
                basis=basis,
                context_bytes=(row["context_mib"] or context) * MiB,
                context_measured=row["context_mib"] is not None,
                sources=sources_of(row),
                label_gb=row["label_gb"],
                unified=row.get("unified_memory", False),
                flash_attn_bytes=row.get("context_flash_attn_mib", 0) * MiB,
            )
        )
    return tuple(cards)


@cache
def _keys() -> dict[str, str]:
    """Normalized names, other names and device names, to the card's name; what two cards share is left out."""
    rows = json.loads((files("inspector") / "data" / "gpus.json").read_text(encoding="utf-8"))["gpus"]
    keys: dict[str, str] = {}
    for row in rows:
        for text in (row["device_name"], *row["also"]):
            keys[normal(text)] = "" if keys.get(normal(text), row["name"]) != row["name"] else row["name"]
    # Last: a card's own name is its own, whatever else goes by it.
    keys.update({normal(row["name"]): row["name"] for row in rows})
    return {key: name for key, name in keys.items() if name}


@cache
def _without_series() -> dict[str, set[str]]:
    """Every card that a name without its series may mean."""
    found: dict[str, set[str]] = {}
    for key, name in _keys().items():
        found.setdefault(without_series(key), set()).add(name)
    return found


@cache
def _names() -> dict[str, tuple[str, ...]]:
    """A card's names as they are written, by its own."""
    rows = json.loads((files("inspector") / "data" / "gpus.json").read_text(encoding="utf-8"))["gpus"]
    return {row["name"]: (row["name"], row["device_name"], *row["also"]) for row in rows}


def find_gpu(text: str) -> Gpu:
    """A card by name: case, spaces, dashes and the vendor's words do not matter, a unique part is enough.

    ``4090``, ``rtx4090`` and ``NVIDIA GeForce RTX 4090`` are the same card, and so is ``RTX 4090 24GB``.

    Raises InspectorError for an unknown or ambiguous name, saying which were meant, and for several cards at once.
    """
    if said := several(text):
        count, names = said
        for name in names:
            if found := _called(name):
                return _one_of(count, text, _only(name, found))
    # A whole name of another's goes before a part of ours: an M3 is in no card's name, but in `HBM3`.
    ours = normal(text) in _keys() or exactly(text) is None
    if found := _called(text) if ours else ():
        return _only(text, found)
    if inside := machine(text):
        raise InspectorError(f"{text!r} is a machine that a cloud rents out, no card", hint=f"its cards are {inside}")
    if other := find_accelerator(text):
        raise InspectorError(
            f"{text!r} is {other.maker}'s, no NVIDIA card, and only CUDA's kernels are simulated",
            hint=f'weights and cache can be had: inspector memory, fit or simulate generate with --gpu "{other.name}"; '
            f"--vram {other.label_gb}GiB is computed as an A100 of that size",
        )
    if of_another_maker(text):
        hint = "by its memory alone, such as --vram 192GiB, it is computed as an A100 of that size"
        raise InspectorError(f"{text!r} is no NVIDIA card, and only CUDA's kernels are simulated", hint=hint)
    keys = _keys()
    close = closest(normal(text), keys, most=3)
    near = list(dict.fromkeys(keys[key] for key in close))
    hint = f"did you mean {' or '.join(near)}?" if near else "give its memory instead, such as --vram 16GiB"
    raise InspectorError(f"no card is named {text!r}", hint=hint)


def find_card(text: str) -> Gpu | Accelerator:
    """A card of any maker by its name; an NVIDIA card before any other. Raises InspectorError as `find_gpu`."""
    whole = exactly(text) if normal(text) not in _keys() else None
    if whole is None and _called(text):
        return find_gpu(text)
    return whole or find_accelerator(text) or find_gpu(text)


def _called(text: str) -> tuple[Gpu, ...]:
    """Every card that a text may mean, none when it means none. Raises InspectorError for a size that none has."""
    wanted = normal(text)
    # A card that comes on one socket alone, or is known by another, is not called by it: A100-80GB SXM.
    if found := _matching(wanted) or _matching(wanted.replace("sxm", "")):
        return (*found, *_later_of_that_number(text, found))
    if not (sized := size_behind(text)):
        return ()
    name, size = sized
    if not (found := _matching(normal(name))):
        return ()
    # A size says more than a plain name does: an H100 is an H100-SXM, but one of 94 GB is an H100-NVL.
    wider = tuple(card for card in catalogue() if normal(card.name).startswith(normal(name)))
    for cards in (found, wider):
        if right := tuple(card for card in cards if card.label_gb == size):
            return right
    have = ", ".join(f"{card.name} has {card.label_gb} GB" for card in found)
    raise InspectorError(f"no {name.strip()} of {size} GB is known: {have}", hint=f"or --vram {size}GiB")


def _later_of_that_number(text: str, found: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    """Cards that a Quadro's number without that word means as well: the RTX 6000 of today is an RTX 6000 Ada."""
    if len(found) != 1 or not found[0].name.startswith("Quadro") or "quadro" in text.lower():
        return ()
    number = normal(found[0].name)
    return tuple(card for card in catalogue() if card != found[0] and normal(card.name).startswith(number))


def _matching(wanted: str) -> tuple[Gpu, ...]:
    """The cards that a normal name is the closest to: `a100` begins several, and within one way nothing is guessed."""
    keys = _keys()
    if not wanted:
        return ()
    for matches in (
        {keys.get(wanted)} - {None},
        _without_series().get(without_series(wanted), ()),
        {name for key, name in keys.items() if key.startswith(wanted) and not cuts_a_number(wanted, _names()[name])},
        {name for key, name in keys.items() if wanted in key and not cuts_a_number(wanted, _names()[name])},
    ):
        if matches:
            return tuple(card for card in catalogue() if card.name in matches)
    return ()


def _only(text: str, found: tuple[Gpu, ...]) -> Gpu:
    if len(found) > 1:
        names = ", ".join(card.name for card in found)
        raise InspectorError(f"{text!r} could be several cards", hint=f"say one of {names}")
    return found[0]


def _one_of(count: int, text: str, card: Gpu) -> Gpu:
    """A card that was counted. Raises InspectorError for more than one, with the way to ask for one of them."""
    if count == 1:
        return card
    raise InspectorError(
        f"{text!r} is {count} cards, and a card is named alone",
        hint=f"say {card.name}: in DDP each takes what one does; --gpus {count} beside it spreads the model "
        "over all of them",
    )


def shared(*cards: Gpu) -> tuple[str, ...]:
    """What to know of those cards whose memory is the system's own, in a line, and of another maker's."""
    # Another maker's say of the system's own memory by themselves.
    names = ", ".join(card.name for card in cards if card.unified and not card.notes)
    line = f"{names}: the memory is the system's own; what the system and the processor's side take comes off as well"
    return (*((line,) if names else ()), *(note for card in cards for note in card.notes))


def card_of_size(text: str) -> Gpu:
    """A card that is only a number of bytes, such as ``16GiB``: taken as usable memory, with the abilities of an A100.

    Raises InspectorError when the text is not a size.
    """
    usable = parse_size(text)
    context = max(card.context_bytes for card in catalogue() if card.context_measured)
    if usable <= context:
        raise InspectorError(f"{text} is less than a CUDA context takes ({context // MiB} MiB)")
    return Gpu(
        name=text.strip(),
        device_name="",
        generation="",
        capability=(8, 0),
        multiprocessors=108,  # with the capability above, an A100's
        usable_bytes=usable,
        basis="size",
        context_bytes=context,
        context_measured=False,
        sources=("given by size; computed as on an A100",),
    )
