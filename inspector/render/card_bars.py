"""A bar a card: what its memory is full of, in the colours of the kinds, for terminal and page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from inspector.memory_kinds import MemoryKind
from inspector.render.terminal import of_kind
from inspector.render.theme import KIND_COLOURS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspector.simulate.on_card import Peaks
    from inspector.simulate.reports.at_peak import Share

HELD, CONTEXT = "held, not in tensors", "CUDA context"
OUTSIDE = f"{CONTEXT}, NCCL at the least"
"""What is in no allocator of PyTorch's, of a rank that sends."""


@dataclass(frozen=True, slots=True)
class CardBar:
    """One card at its peak: its name, bytes by kind, what the allocator holds besides, the context, its room.

    ``nccl`` is the least of NCCL's buffers.
    """

    name: str
    shares: tuple[tuple[str, int], ...]
    held: int
    context: int
    usable: int
    nccl: int = 0

    @classmethod
    def of(cls, name: str, peaks: Peaks, alive: Sequence[Share]) -> CardBar:
        """The bar of a card's peaks, with the kinds in one order on every card."""
        order = {str(kind): number for number, kind in enumerate(MemoryKind)}
        shares = sorted(((share.name, share.nbytes) for share in alive), key=lambda pair: order.get(pair[0], 99))
        held = peaks.reserved - peaks.allocated
        return cls(name, tuple(shares), held, peaks.context, peaks.usable, peaks.nccl)

    @property
    def total(self) -> int:
        """The whole process."""
        return sum(nbytes for _, nbytes in self.shares) + self.held + self.outside

    @property
    def outside(self) -> int:
        """The context, and NCCL."""
        return self.context + self.nccl


def bars(cards: Sequence[CardBar], width: int) -> Text:
    """The bars under each other in ``width`` columns, the card's room marked, and what the colours are."""
    names = max(len(card.name) for card in cards)
    room = max(width - names - 12, 10)
    scale = max(*(card.total for card in cards), *(card.usable for card in cards))
    text = Text()
    for card in cards:
        text.append(f"{card.name:<{names}} ")
        drawn, done = 0, 0
        for name, nbytes in (*card.shares, (HELD, card.held), (CONTEXT, card.outside)):
            done += nbytes
            # Ends are rounded and not lengths, so that a bar's length is that of its sum.
            end = round(done * room / scale)
            text.append(*_cells(name, end - drawn))
            drawn = max(end, drawn)
        border = round(card.usable * room / scale)
        text.append(" " * max(border - drawn, 0) + "|", style="dim")
        text.append(f" {card.total / 2**30:.1f} GiB\n")
    seen = dict.fromkeys(name for card in cards for name, _ in card.shares)
    for name in seen:
        text.append_text(of_kind(name)).append(" ")
    text.append(f"░ {HELD} ▒ {outside(cards)} | the card's room", style="dim")
    return text


def outside(cards: Sequence[CardBar]) -> str:
    """What is outside PyTorch's allocator, in words."""
    return OUTSIDE if any(card.nccl for card in cards) else CONTEXT


def _cells(name: str, count: int) -> tuple[str, str]:
    if name in {HELD, CONTEXT}:
        return ("░" if name == HELD else "▒") * count, "dim"
    # A full block in the colour: what has no colours, a pipe or a dumb terminal, still shows the length.
    return "█" * count, KIND_COLOURS[MemoryKind(name)]
