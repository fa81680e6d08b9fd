"""What the lab measured of quality, for the slides: the records that ship, and the rules of thumb beside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from inspector.lab.recorded import recorded_finetuning, recorded_precisions
from inspector.lab.rules import noise, rules

if TYPE_CHECKING:
    from inspector.lab.reports import FinetuneLab, PrecisionLab
    from inspector.lab.rules import Rule


@dataclass(frozen=True)
class LabRecords:
    """Both records with what follows from them.

    ``precisions.rows`` has loss (nats a token), error of the weights (fraction) and bytes by scheme; ``rules`` a
    verdict and a sentence each; ``noise`` (nats) is how far seeds alone are apart; ``finetuning.run(...)`` one run.
    """

    precisions: PrecisionLab
    finetuning: FinetuneLab
    rules: tuple[Rule, ...]
    noise: float | None


@lru_cache(maxsize=1)
def lab_records() -> LabRecords:
    """The records that ship with Inspector, read once; no torch."""
    runs = recorded_finetuning()
    return LabRecords(recorded_precisions(), runs, rules(runs), noise(runs))
