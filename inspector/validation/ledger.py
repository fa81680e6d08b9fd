"""Predicted beside measured: every published step simulated, with its error and what is known of the cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.validation.training_runs import MAKERS, questions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inspector.simulate.finetuning import StepReport
    from inspector.simulate.generation import GenerateReport
    from inspector.validation.published_run import Question

PREDICTED: dict[str, Callable[[Any], int]] = {
    "load": lambda report: report.stage_peak("load").end_allocated,
    "forward": lambda report: report.stage_peak("forward").peak_allocated,
    "backward": lambda report: report.stage_peak("backward").peak_allocated,
    "optimizer": lambda report: report.stage_peak("optimizer").peak_allocated,
    "first_forward": lambda report: report.stage_peak("forward", 0).end_allocated,
    "steady": lambda report: report.steady_allocated_bytes,
    "peak": lambda report: max(item.peak_allocated for item in report.stages if item.step >= 0),
    "reserved": lambda report: max(item.peak_reserved for item in report.stages if item.step >= 1),
    "step_reserved": lambda report: report.stage_peak("optimizer").peak_reserved,
    "run_peak": lambda report: report.peak_allocated_bytes,
    "run_reserved": lambda report: report.peak_reserved_bytes,
    "process": lambda report: report.process_bytes,
    "generate_peak": lambda report: report.peak_allocated_bytes,
}
"""What each measured figure is compared with, of a `StepReport` or, the last, of a `GenerateReport`.

``peak`` leaves loading out, ``run_peak`` and ``generate_peak`` do not.
"""

RESERVED = frozenset({"reserved", "step_reserved", "run_reserved", "process"})
"""Figures that depend on the order of every allocation; ``process`` is what nvidia-smi said, context included."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of one run, in bytes."""

    question: Question
    figure: str
    predicted: int
    measured: int

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True, slots=True)
class Summary:
    """The errors of one figure over one file's runs: absolute mean, and the worst with its run."""

    file: str
    figure: str
    count: int
    mean: float
    worst: float
    worst_id: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every comparison, the runs left out and why, and the versions that predicted."""

    lines: tuple[Line, ...]
    skipped: tuple[Question, ...]
    versions: dict[str, str]
    seconds: float

    @property
    def summaries(self) -> tuple[Summary, ...]:
        """One row for each file and figure, in the order they appear."""
        keys = dict.fromkeys((line.question.file, line.figure) for line in self.lines)
        return tuple(self._summary(file, figure) for file, figure in keys)

    def _summary(self, file: str, figure: str) -> Summary:
        chosen = [line for line in self.lines if (line.question.file, line.figure) == (file, figure)]
        worst = max(chosen, key=lambda line: abs(line.error))
        mean = sum(abs(line.error) for line in chosen) / len(chosen)
        return Summary(file, figure, len(chosen), mean, worst.error, worst.question.id)


def validate(file: str = "", *, say: Callable[[str], None] | None = None) -> Ledger:
    """Simulate every published step that can be, and compare.

    Args:
        file: only the records of this file, such as ``a100_sfttrainer``.
        say: called with the name of each run before it is simulated.

    Raises InspectorError for an unknown file.
    """
    import time

    from inspector.simulate.reports.libraries import versions

    if file and file not in MAKERS:
        raise InspectorError(f"no measurements are named {file!r}", hint=f"choose from {', '.join(MAKERS)}")
    began = time.perf_counter()
    asked = questions(file)
    lines: list[Line] = []
    for question in (item for item in asked if not item.skipped):
        if say is not None:
            say(f"{question.model} {question.config}")
        lines.extend(compare(question))
    left_out = tuple(question for question in asked if question.skipped)
    return Ledger(tuple(lines), left_out, versions(), time.perf_counter() - began)


def compare(question: Question) -> Iterator[Line]:
    """Simulate one run and put its figures beside the measured ones."""
    report = simulate(question)
    for figure in question.figures:
        yield Line(question, figure.of, PREDICTED[figure.of](report), figure.measured)


def simulate(question: Question) -> StepReport | GenerateReport:
    """The dry run of a measured run."""
    if question.method == "generate":
        from inspector.gpus import find_gpu
        from inspector.simulate.generation import simulate_generate

        return simulate_generate(question.model, gpu=find_gpu(question.gpu), **question.settings)
    return _train(question)


def _train(question: Question) -> StepReport:
    import json
    from importlib.resources import files

    from inspector.simulate.finetuning import finetune

    kept = files("inspector") / "data" / "measured_configs" / f"{question.model.replace('/', '--')}.json"
    reference = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else question.model
    return finetune(reference, gpu=question.gpu, **question.settings)
