"""A simulated fine-tuning, and with it what to change where it does not fit, or how far one that fits can go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from inspector.files import check_place
from inspector.fit.colocated import with_engine
from inspector.fit.plan import plan
from inspector.fit.simulator import Traces
from inspector.simulate.finetuning import answer, question, save_snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.simulate.finetuning import Question, StepReport
    from inspector.simulate.setup.options import FinetuneSettingsOptions


def finetune_with_advice(
    reference: str | Mapping[str, Any] | None = None,
    *,
    recipe: str = "",
    vram: str = "",
    advise: bool | None = None,
    solve: bool = False,
    snapshot: Path | str | None = None,
    from_files: Mapping[str, Any] | None = None,
    **options: Unpack[FinetuneSettingsOptions],
) -> StepReport:
    """As `inspector.simulate.finetune`, the report with a plan where one was asked for.

    Args:
        reference: as there.
        recipe: as there.
        vram: as there.
        advise: when it does not fit, simulate what would make it fit; left out, where a card was named.
        solve: find the largest batch size, length and rank that fit.
        snapshot: a file to write for PyTorch's memory_viz.
        from_files: settings that configuration files set.
        options: as there.

    Raises:
        InspectorError: as there, and when the snapshot cannot be written.
    """
    # A place that cannot be written to is told before the simulation and not after it.
    if snapshot is not None:
        check_place(Path(snapshot))
    asked = with_engine(question(reference, recipe=recipe, vram=vram, from_files=from_files, **options))
    traces = Traces()
    report = answer(asked, keep_events=snapshot is not None, traced=traces)
    if snapshot is not None:
        save_snapshot(report, Path(snapshot))
        # The file has them now, and they are far more than the rest of the report.
        report = replace(report, events=())
    if advise is None:
        advise = bool(vram or options.get("gpu"))
    if solve or (advise and not report.fits):
        return advised(report, asked, solve=solve, traces=traces)
    return report


def advised(report: StepReport, asked: Question, *, solve: bool = False, traces: Traces | None = None) -> StepReport:
    """The report with a `FitPlan`: what to change where it does not fit, and with ``solve`` how far it can go.

    ``asked`` is what it answers, ``traces`` where what was traced for it is found.
    Raises InspectorError when nothing can be simulated.
    """
    settings = asked.resolved.settings
    found = plan(asked.model, asked.config, settings, asked.gpu, solve=solve, known=report, traces=traces)
    return replace(report, plan=found)
