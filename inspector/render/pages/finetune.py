"""The page of a simulated fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.render.pages.sheet import sheet_html
from inspector.render.pages.timeline import timeline
from inspector.render.simulate import what

if TYPE_CHECKING:
    from inspector.simulate.allocator.timeline import StagePeak
    from inspector.simulate.finetuning import StepReport
    from inspector.simulate.reports.step import Point


def finetune_html(report: StepReport, *, command: str = "inspector simulate finetune") -> str:
    """The whole page; ``command`` is the line that writes it again."""
    return sheet_html(
        "finetune",
        title=f"Fine-tuning {report.model}",
        command=command,
        charts=[
            timeline(report.timeline, report.timeline_kinds, report.gpu, stage_name, peak=report.peak_reserved_bytes)
        ],
        report=report,
        what=what(report),
        stage_name=stage_name,
    )


def stage_name(point: Point | StagePeak) -> str:
    """``load``, ``step 1 forward``."""
    return point.stage if point.step < 0 else f"step {point.step + 1} {point.stage}"
