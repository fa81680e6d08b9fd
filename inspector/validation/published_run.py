"""A published measurement as a question to the simulator, and what the makers of questions share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number, in bytes. ``of`` names the predicted one it is compared with (see `ledger`)."""

    of: str
    measured: int


@dataclass(frozen=True, slots=True)
class Question:
    """A measured run, ready to be simulated."""

    file: str
    id: str
    model: str
    method: str
    config: str
    gpu: str
    settings: dict[str, Any]
    figures: tuple[Figure, ...]
    versions: dict[str, str]
    notes: tuple[str, ...] = ()
    skipped: str = ""
    source: str = field(default="", repr=False)


def versions_of(record: Record) -> dict[str, str]:
    """The libraries a record names, without those it leaves open."""
    return {name: text for name, text in (record.get("versions") or {}).items() if text}
