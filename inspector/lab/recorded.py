"""The records that ship with Inspector. No torch here."""

from __future__ import annotations

from pathlib import Path

from inspector.files import read_json_object
from inspector.lab.reports import FinetuneLab, PrecisionLab

FOLDER = Path(__file__).parent.parent / "data" / "lab"
PRECISIONS, FINETUNING = FOLDER / "quantize.json", FOLDER / "lora.json"


def recorded_precisions() -> PrecisionLab:
    """The losses by precision that ship with Inspector."""
    return PrecisionLab.from_dict(read_json_object(PRECISIONS))


def recorded_finetuning() -> FinetuneLab:
    """The fine-tuning runs that ship with Inspector."""
    return FinetuneLab.from_dict(read_json_object(FINETUNING))
