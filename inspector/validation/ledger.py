"""Predicted beside measured: every run simulated, with its error and what is known of the cause."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from inspector.errors import InspectorError
from inspector.reporting import TableReport
from inspector.validation.forms import ALL, FORMS, SEVERAL_CARDS
from inspector.validation.models import config_of, kept_config
from inspector.validation.runs import questions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inspector.simulate.finetuning import StepReport
    from inspector.simulate.generation import GenerateReport
    from inspector.simulate.several_cards import SeveralCardsReport
    from inspector.validation.loss_runs import LossReport
    from inspector.validation.own_model_runs import OwnReport
    from inspector.validation.published_run import Question


def _steady(report: StepReport) -> int:
    """The first step that begins as every later one does: the second, where there is one."""
    return min(1, report.setup.loop.steps - 1)


def _stepping(report: SeveralCardsReport, what: str) -> int:
    """The highest of the first rank's steps, loading and wrapping left out."""
    return max(int(getattr(stage, what)) for stage in report.ranks[0].stages if stage.step >= 0)


PREDICTED: dict[str, Callable[[Any], int]] = {
    "load": lambda report: report.stage_peak("load").end_allocated,
    "forward": lambda report: report.stage_peak("forward").peak_allocated,
    "backward": lambda report: report.stage_peak("backward").peak_allocated,
    "optimizer": lambda report: report.stage_peak("optimizer").peak_allocated,
    "first_forward": lambda report: report.stage_peak("forward", 0).end_allocated,
    "steady": lambda report: report.steady_allocated_bytes,
    "peak": lambda report: max(item.peak_allocated for item in report.stages if item.step >= 0),
    "reserved": lambda report: max(item.peak_reserved for item in report.stages if item.step >= _steady(report)),
    "step_reserved": lambda report: report.stage_peak("optimizer").peak_reserved,
    "run_peak": lambda report: report.peak_allocated_bytes,
    "run_reserved": lambda report: report.peak_reserved_bytes,
    "process": lambda report: report.process_bytes,
    "process_most": lambda report: report.peaks.process_most,
    "rank_peak": lambda report: _stepping(report, "peak_allocated"),
    "rank_run_peak": lambda report: report.ranks[0].peaks.allocated,
    "rank_reserved": lambda report: _stepping(report, "peak_reserved"),
    "rank_process": lambda report: report.heaviest.peaks.process,
    "rank_after": lambda report: report.ranks[0].after_training_allocated_bytes,
    "loss_peak": lambda report: report.peak_allocated_bytes,
    "generate_peak": lambda report: report.peak_allocated_bytes,
    "generate_reserved": lambda report: report.peak_reserved_bytes,
    "generate_process": lambda report: report.process_bytes,
}
"""What each measured figure is compared with, of a `StepReport` or, those of generation, of a `GenerateReport`.

``peak`` leaves loading out, ``run_peak`` and ``generate_peak`` do not.
"""

RESERVED = frozenset({
    "reserved", "step_reserved", "run_reserved", "process", "generate_reserved", "generate_process",
    "rank_reserved", "rank_process",
})  # fmt: skip
"""Figures that depend on the order of every allocation; ``process`` is what nvidia-smi said, context included."""


@dataclass(frozen=True, slots=True)
class Line:
    """One figure of one run, both sides in ``unit``; bytes are integers."""

    question: Question
    figure: str
    predicted: int
    measured: int
    unit: str = "bytes"

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


@dataclass(frozen=True)
class Ledger(TableReport):
    """Every comparison, the runs left out and why, and the versions that predicted."""

    kind: ClassVar[str] = "validate"

    lines: tuple[Line, ...]
    skipped: tuple[Question, ...]
    versions: dict[str, str]
    seconds: float

    @property
    def runs(self) -> tuple[Question, ...]:
        """Every run, compared or left out, each once."""
        compared = {(line.question.file, line.question.id): line.question for line in self.lines}
        return (*compared.values(), *self.skipped)

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


def validate(file: str = "", *, form: str = "", say: Callable[[str], None] | None = None) -> Ledger:
    """Simulate every measured run that can be, and compare.

    Args:
        file: a published set, such as ``a100_sfttrainer``; or the path of a JSON file with runs of one's own in the
            form of such a set; all published sets when left out.
        form: the set whose form a file of one's own has; left out, it is told from the file (see `own_runs`).
        say: called with the name of each run before it is simulated.

    Raises:
        InspectorError: for an unknown set, a file that cannot be read as runs, or one of whose runs none can be
            compared because of what is written in it.
    """
    import time

    from inspector.simulate.reports.libraries import versions

    began = time.perf_counter()
    own = bool(file) and file not in ALL
    if form and not own:
        raise InspectorError("a form is for a file of your own", hint="name the file before --form")
    lines: list[Line] = []
    left_out: list[Question] = []
    for question in _own(file, form) if own else questions(file):
        if question.skipped:
            left_out.append(question)
            continue
        if say is not None:
            say(f"{question.model} {question.config}")
        try:
            lines.extend(compare(question))
        except InspectorError as error:
            # Every published run on one card can be simulated; a way of sharing, or a model's config, may not be there.
            if not own and question.file not in SEVERAL_CARDS:
                raise
            left_out.append(replace(question, skipped=error.message, wrong=True))
    # A ledger without a line would hide a mistake that can be mended; what cannot be simulated stays a ledger.
    if own and not lines and (wrong := next((question for question in left_out if question.wrong), None)):
        raise InspectorError(f"no run of {file} can be compared; {wrong.id}: {wrong.skipped}")
    return Ledger(tuple(lines), tuple(left_out), versions(), time.perf_counter() - began)


def _own(file: str, form: str) -> tuple[Question, ...]:
    from inspector.files import exists
    from inspector.validation.own_runs import own_runs

    path = Path(file).expanduser()
    if not exists(path) and path.name == file and not path.suffix:
        raise InspectorError(
            f"no measurements are named {file!r}", hint=f"choose from {', '.join(FORMS)}, or name a JSON file of yours"
        )
    return own_runs(path, form)


def compare(question: Question) -> Iterator[Line]:
    """Simulate one run and put its figures beside the measured ones."""
    report = simulate(question)
    for figure in question.figures:
        of = "process_most" if question.most and figure.of == "process" else figure.of
        yield Line(question, figure.of, PREDICTED[of](report), figure.measured, figure.unit)


def simulate(question: Question) -> StepReport | GenerateReport | SeveralCardsReport | OwnReport | LossReport:
    """The dry run of a measured run; what was measured on several cards is of their first rank."""
    if "own_model" in question.settings:
        from inspector.validation.own_model_runs import run_own_model

        return run_own_model(question.settings)
    if "loss_benchmark" in question.settings:
        from inspector.validation.loss_runs import run_loss_benchmark

        return run_loss_benchmark(question.settings["loss_benchmark"], question.gpu)
    if "parallel" in question.settings:
        from inspector.simulate.finetuning import question as asked
        from inspector.simulate.setup.cards_asked import apart
        from inspector.simulate.several_cards import finetune_on_cards

        cards, rest = apart(question.settings)
        if (parallel := cards.together().parallel) is None:
            raise InspectorError(f"{question.id} is on one card")
        config = config_of(question.reference or question.model)
        return finetune_on_cards(asked(config, gpu=question.gpu, **rest), parallel, rank="first")
    from inspector.simulate.finetuning import finetune

    if question.method == "generate":
        from inspector.gpus import find_gpu
        from inspector.simulate.generation import simulate_generate

        reference = question.reference or question.model
        kept = kept_config(reference)
        return simulate_generate(str(kept or reference), gpu=find_gpu(question.gpu), **question.settings)
    return finetune(config_of(question.reference or question.model), gpu=question.gpu, **question.settings)
