"""How fast cards in one machine send to each other, by their data sheets: for estimates alone, nothing is measured.

Sources: NVIDIA's data sheets of the cards ("Interconnect: NVLink 600 GB/s", both directions together: half of it each
way); PCI Express Base Specification: 8, 16 and 32 GT/s a lane in generation 3, 4 and 5, 128 of 130 bits are data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inspector.gpus.cards import Gpu

_NVLINK = {
    "V100-16GB": 300, "V100-32GB": 300, "A100-40GB": 600, "A100-80GB": 600, "A800-80GB": 400, "H100-SXM": 900,
    "H800": 400, "H20": 900, "H200": 900, "B200": 1800, "B300": 1800, "GB200": 1800, "GB300": 1800,
}  # fmt: skip
"""GB/s both ways, of cards joined all to all on their board (SXM, HGX). A bridge joins two: left out."""
_GENERATIONS = {"Pascal": 3, "Volta": 3, "Turing": 3, "Ampere": 4, "Ada": 4, "Hopper": 5, "Blackwell": 5}
_GIGATRANSFERS = {3: 8, 4: 16, 5: 32}
# Data sheets: "PCIe 4.0 x8", "PCI Express Gen 5 x8". All others have sixteen lanes.
_EIGHT_LANES = ("A2", "RTX 3050", "RTX 4060", "RTX 4060 Ti", "RTX 4060 Ti 16GB", "RTX 5060", "RTX 5060 Ti 16GB",
                "RTX 5060 Ti 8GB", "RTX 2000 Ada")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Link:
    """``name`` as the data sheet has it, ``bytes_per_second`` in one direction."""

    name: str
    bytes_per_second: int


def link_of(card: Gpu) -> Link | None:
    """The link between such cards in one machine; None where none is known (a size alone, a laptop, a board)."""
    if total := _NVLINK.get(card.name):
        return Link(f"NVLink, {total} GB/s", total * 10**9 // 2)
    generation = _GENERATIONS.get(card.generation)
    if generation is None or card.unified or "Laptop" in card.name or card.name.startswith(("Jetson", "DGX", "GH")):
        return None
    lanes = 8 if card.name in _EIGHT_LANES else 16
    return Link(f"PCIe {generation}.0 x{lanes}", _GIGATRANSFERS[generation] * 10**9 * lanes * 128 // 130 // 8)
