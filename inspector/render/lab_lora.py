"""Fine-tuning runs and what they say of the rules of thumb, as a terminal page, a chart, as JSON and as rows."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from inspector.lab.plan import TARGETS
from inspector.lab.rules import noise, rules
from inspector.render.lab_words import sample_notes, sample_payload
from inspector.render.terminal import heading, notes, page, table
from inspector.safe_text import clean
from inspector.units import MB, count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType
    from rich.table import Table

    from inspector.lab.reports import Finetuned, FinetuneLab
    from inspector.render.charts import Chart

VERDICTS = {True: "held here", False: "did not hold here", None: "open"}


def text(report: FinetuneLab) -> RenderableType:
    """The page `inspector lab lora` prints."""
    settings = report.settings
    return page(
        heading(
            report.sample.model,
            f"{settings.steps} steps of {settings.batch} x {settings.seq_len} tokens, "
            f"AdamW at {settings.learning_rate:g}",
            *_untrained(report.runs),
        ),
        _table(report.runs, seconds="s" if report.sample.device == "cuda" else "CPU s"),
        *_rules(report),
        notes(_notes(report)),
    )


def _untrained(runs: Sequence[Finetuned]) -> Iterator[str]:
    """The loss before any training, by base."""
    before = {run.setup.base: run.before for run in runs}
    if before:
        told = ", ".join(f"{base} {loss:.3f}" for base, loss in before.items())
        yield f"loss of the text held out before training: {told}"


def _table(runs: Sequence[Finetuned], *, seconds: str) -> Table:
    made = table(
        "base", "targets", ("r", "right"), ("alpha", "right"), ("loss", "right"), ("gain", "right"),
        ("trainable", "right"), ("MB", "right"), (seconds, "right"),
    )  # fmt: skip
    last: tuple[str, ...] = ()
    for run in sorted(runs, key=_order):
        setup = run.setup
        shown = (setup.base, setup.targets)
        seed = f" seed {setup.seed}" if setup.seed else ""
        taken = run.seconds if seconds == "s" else run.cpu_seconds
        made.add_row(
            *(("", seed.strip()) if shown == last else (setup.base, clean(setup.targets) + seed)),
            str(setup.r),
            str(setup.alpha),
            f"{run.loss:.3f}",
            f"{run.before - run.loss:.3f}",
            count(run.trainable),
            f"{run.step_bytes / MB:,.1f}",
            f"{taken:,.0f}",
        )
        last = shown
    return made


def _order(run: Finetuned) -> tuple[object, ...]:
    setup = run.setup
    known = TARGETS.index(setup.targets) if setup.targets in TARGETS else len(TARGETS)
    return (setup.base != "fp32", setup.base, known, setup.targets, setup.seed, setup.r, setup.alpha)


def _rules(report: FinetuneLab) -> Iterator[Text]:
    for rule in rules(report):
        told = Text(rule.rule, style="bold")
        told.append(f": {VERDICTS[rule.holds]}", style="not bold")
        # Alone on its lines, and left out where there is nothing to tell.
        told.append(f"\n{clean(rule.said)}" if rule.said else "", style="not bold")
        yield told


def _notes(report: FinetuneLab) -> Iterator[str]:
    yield (
        "loss: mean cross-entropy of a token of text held out, in nats, after the last step; gain: how far below the "
        "untrained. MB = 10^6 bytes: trained weights, gradients and AdamW's moments."
    )
    spread = noise(report)
    if spread is not None:
        # Of the centre, for no other run has another seed.
        seeds = len({run.setup.seed for run in report.runs})
        yield f"{seeds} seeds of the same run end {spread:.3f} apart: what is nearer than that is no difference"
    yield "few steps at one learning rate on one small model: what held here need not hold for yours"
    if len(report.runs) < report.planned:
        yield f"{len(report.runs)} of {report.planned} runs"
    yield from sample_notes(report.sample)


def charts(report: FinetuneLab) -> tuple[Chart, ...]:
    """Loss by trained parameters."""
    from inspector.render.charts.lab import loss_by_parameters

    return (loss_by_parameters(report),)


def payload(report: FinetuneLab) -> dict[str, Any]:
    """The content of the JSON document ``inspector.lab_lora``."""
    return {
        "sample": sample_payload(report.sample),
        "settings": asdict(report.settings),
        "planned": report.planned,
        "noise": noise(report),
        "rules": [asdict(rule) for rule in rules(report)],
        "runs": [asdict(run) for run in report.runs],
    }


def rows(report: FinetuneLab) -> list[dict[str, Any]]:
    """The runs flat, for CSV and data frames."""
    return [{**asdict(run.setup), **{k: v for k, v in asdict(run).items() if k != "setup"}} for run in report.runs]
