"""Build the real quantized model on a real device and weigh it, beside what was predicted of it.

Names are imported when first used: most of what is behind them needs torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspector.measure.doctor import Doctor
    from inspector.measure.records import Records, find_records, load_record, save_record
    from inspector.measure.report import Comparison, Measurement, measure
    from inspector.measure.spec import MeasuredLora, MeasureSpec, StepSetup

_HOMES = {
    "Comparison": "report", "Doctor": "doctor", "MeasureSpec": "spec", "MeasuredLora": "spec",
    "Measurement": "report", "Records": "records", "StepSetup": "spec", "find_records": "records",
    "load_record": "records", "measure": "report", "save_record": "records",
}  # fmt: skip

__all__ = [
    "Comparison", "Doctor", "MeasureSpec", "MeasuredLora", "Measurement", "Records", "StepSetup",
    "find_records", "load_record", "measure", "save_record",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"inspector.measure.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'inspector.measure' has no attribute {name!r}")
