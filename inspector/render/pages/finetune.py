"""The page of a simulated fine-tuning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.lesson.film import of_step
from inspector.render.pages.sheet import sheet_html
from inspector.render.simulate import charts, stage_name, verdict_words, what

if TYPE_CHECKING:
    from inspector.simulate.finetuning import StepReport


def finetune_html(report: StepReport, *, command: str = "inspector simulate finetune") -> str:
    """The whole page; ``command`` is the line that writes it again."""
    return sheet_html(
        "finetune",
        title=f"Fine-tuning {report.model}",
        command=command,
        charts=charts(report),
        films={"step": of_step(report)} if report.timeline_kinds else None,
        report=report,
        what=what(report),
        verdict=verdict_words(report),
        stage_name=stage_name,
    )
