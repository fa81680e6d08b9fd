"""Where the catalogue's figures of a card were read, in lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def sources_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Where each figure was read: memory, multiprocessors, capability, and the context where it was measured."""
    rest = (
        ("multiprocessors", row["multiprocessors_source"]),
        ("compute capability", row["compute_capability_source"]),
        ("context", row["context_source"]),
        ("context with flash-attn", row.get("context_flash_attn_source")),
    )
    return (*row["sources"], *(f"{figure}: {text}" for figure, text in rest if text))
