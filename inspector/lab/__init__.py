"""What a precision, a rank and a set of targets do to quality: a real small model, measured.

Names are imported when first used: what is behind `quantize` and `finetune` needs torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspector.lab.finetuning import finetune
    from inspector.lab.plan import Settings, Setup
    from inspector.lab.precisions import quantize
    from inspector.lab.recorded import recorded_finetuning, recorded_precisions
    from inspector.lab.reports import Finetuned, FinetuneLab, Precision, PrecisionLab

_HOMES = {
    "FinetuneLab": "reports", "Finetuned": "reports", "Precision": "reports", "PrecisionLab": "reports",
    "Settings": "plan", "Setup": "plan", "finetune": "finetuning", "quantize": "precisions",
    "recorded_finetuning": "recorded", "recorded_precisions": "recorded",
}  # fmt: skip

__all__ = [
    "FinetuneLab", "Finetuned", "Precision", "PrecisionLab", "Settings", "Setup", "finetune", "quantize",
    "recorded_finetuning", "recorded_precisions",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"inspector.lab.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'inspector.lab' has no attribute {name!r}")
