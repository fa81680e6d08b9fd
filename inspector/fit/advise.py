"""A simulated fine-tuning, and with it what to change where it does not fit, or how far one that fits can go."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.fit.plan import plan
from inspector.simulate.finetuning import answer, question

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.simulate.finetuning import Question, StepReport


def finetune_with_advice(
    reference: str | Mapping[str, Any] | None = None,
    *,
    advise: bool = True,
    solve: bool = False,
    keep_events: bool = False,
    **options: Any,
) -> StepReport:
    """As `inspector.simulate.finetune`, the report with a plan where one was asked for.

    Args:
        reference: as there.
        advise: when it does not fit, simulate what would make it fit.
        solve: find the largest batch size, length and rank that fit.
        keep_events: as there.
        options: as there.

    Raises:
        InspectorError: as there.
    """
    asked = question(reference, **options)
    report = answer(asked, keep_events=keep_events)
    if solve or (advise and not report.fits):
        return advised(report, asked, solve=solve)
    return report


def advised(report: StepReport, asked: Question, *, solve: bool = False) -> StepReport:
    """The report with a `FitPlan`: what to change where it does not fit, and with ``solve`` how far it can go.

    ``asked`` is what it answers. Raises InspectorError when nothing can be simulated.
    """
    settings = asked.resolved.settings
    found = plan(asked.model, asked.config, settings, asked.gpu, solve=solve, known=report.peaks)
    return replace(report, plan=found)
