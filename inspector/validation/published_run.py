"""A measured run as a question to the simulator, whoever measured it: a published set's record or a user's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number. ``of`` names the predicted one it is compared with (see `ledger`).

    ``measured`` is in ``unit``; bytes are integers.
    """

    of: str
    measured: int
    unit: str = "bytes"


@dataclass(frozen=True, slots=True)
class Question:
    """A measured run, ready to be simulated.

    ``file`` is the published set, or the name of a user's file; ``model`` is the name in the record and ``reference``
    where that model is found. ``skipped`` says why it is left out, and ``wrong`` that whoever wrote the record can mend
    it. ``most`` is whether its process held the most that a card's may. ``not_understood`` are the fields, each with
    its value, that were given and not simulated.
    """

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
    source: str = ""
    reference: str = ""
    not_understood: tuple[tuple[str, str], ...] = ()
    wrong: bool = False
    most: bool = False
