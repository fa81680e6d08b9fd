"""20: what the class can say now, and how far the numbers are to be trusted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from inspector.lora.matching import peft_tables
from inspector.render.assets import VENDOR
from inspector.render.charts.trusted import trusted
from inspector.render.deck.slide import Numbers, Slide, finding, notes
from inspector.units import count

if TYPE_CHECKING:
    from collections.abc import Iterable

    from inspector.lesson import Lesson
    from inspector.lesson.texts import Texts

EDITION = "2026-11-30"
"""Day the bundled skeletons and constants, and so every number on a page, were last made. A page that says when it was
written instead could not be written twice the same."""


def make(lesson: Lesson, say: Texts) -> Slide:
    """Three sentences with a gap; predicted peaks against measured ones; versions in the drawer."""
    lines = lesson.ledger
    runs = sum(line.runs for line in lines)
    means = sorted(100 * line.mean_error for line in lines)
    span = f"{say.number(means[0], 2)}\N{EN DASH}{say.number(means[-1], 2)}%" if means else ""
    made = trusted(lesson, say)
    row = lesson.adapters
    wider = [other for other in lesson.lora.rows if other.target_set == "all-linear" and other.r == row.r]
    times = say.number(wider[0].trainable_parameters / row.trainable_parameters, 1) if wider else ""
    gaps = [
        (*say.lines("trust.gaps.r"), say("trust.answers.r")),
        (*say.lines("trust.gaps.alpha"), say("trust.answers.alpha")),
        (*say.lines("trust.gaps.targets" if times else "trust.gaps.targets_alone"),
         say("trust.answers.targets" if times else "trust.answers.targets_alone", times=times)),
    ]  # fmt: skip
    values = {"runs": runs, "span": span, "times": times}
    versions = tuple(_versions(lesson, say).items())
    edition = (say("trust.edition"), EDITION)
    return Slide(
        "trust",
        finding(say("trust.title")),
        notes(say, "trust", say.lines("trust.arithmetic"), **values),
        (
            _ledger(lesson, say, span, times),
            *_measured(lesson, say),
            Numbers(say("trust.versions"), say.lines("trust.version_columns"), (*versions, edition)),
        ),
        "M",
        (span, say("trust.remember", **values)) if span else ("", ""),
        given={"gaps": gaps, "alt": made.alt},
        charts=(made,) if runs else (),
    )


def _ledger(lesson: Lesson, say: Texts, span: str, times: str) -> Numbers:
    rows = [
        (
            line.device,
            str(line.runs),
            f"{say.number(100 * line.mean_error, 2)}%",
            say.written(f"{100 * line.worst_error:+.2f}%"),
        )
        for line in lesson.ledger
    ]
    whole = (say("words.all"), str(sum(line.runs for line in lesson.ledger)), span, times)
    return Numbers(say("trust.ledger"), say.lines("trust.ledger_columns"), (*rows, whole))


def _measured(lesson: Lesson, say: Texts) -> tuple[Numbers, ...]:
    if not lesson.measured:
        return ()
    own = lesson.measured[0].source == "inspector measure"
    rows = tuple(
        (
            f"{line.model}, {line.what}",
            say.written(count(line.predicted)),
            say.written(count(line.measured)),
            line.device,
        )
        for line in lesson.measured
    )
    return (
        Numbers(
            say("trust.measured_here" if own else "trust.measured_there"), say.lines("trust.measured_columns"), rows
        ),
    )


def _said(versions: Iterable[tuple[str, str]]) -> str:
    return ", ".join(
        f"{name} {number}" for name, number in versions if name in {"torch", "transformers", "bitsandbytes"}
    )


def _versions(lesson: Lesson, say: Texts) -> dict[str, str]:
    from importlib.metadata import version

    vendored = json.loads((VENDOR / "versions.json").read_text(encoding="utf-8"))
    return {
        "Inspector": version("llm-inspector"),
        say("trust.of.skeleton"): lesson.skeleton.built_with,
        say("trust.of.targets"): peft_tables()["built_with"],
        **({say("trust.of.runs"): _said(lesson.training.versions)} if lesson.training else {}),
        **{name: facts["version"] for name, facts in vendored.items()},
    }
