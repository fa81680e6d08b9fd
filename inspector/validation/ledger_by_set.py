"""The ledger by sets of runs: what each set is, what it is held to, its causes, and the versions that differ."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from inspector.validation.known_versions import known_differences

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.validation.ledger import Ledger, Line, Summary
    from inspector.validation.published_run import Question

TITLES = {
    "t4_transformers_peft_loop": "Plain PEFT loop, T4",
    "rtx4080_qlora": "QLoRA and LoRA, RTX 4080",
    "a100_sfttrainer": "SFTTrainer, A100 80 GB",
    "l40s_peft_benchmark": "PEFT's benchmark, L40S",
    "inference_peaks": "Generation",
    "multigpu_fms": "SFTTrainer on several A100",
    "multigpu_deepspeed": "DeepSpeed",
    "multigpu_torchtitan": "torchtitan",
    "multigpu_peft_docs": "PEFT's guides to several cards",
    "multigpu_torchao": "torchao on torchtitan",
    "multigpu_torchtune": "torchtune",
    "multigpu_litgpt": "litgpt",
    "multigpu_ms_swift": "ms-swift",
    "multigpu_threads": "Reports of users",
    "multigpu_megatron": "Megatron-LM",
    "preference": "Preference training and losses",
}
"""Published sets by their names; a file of a user's own is called by its name."""


FIGURES = {
    "load": "allocated after loading",
    "forward": "forward, peak allocated",
    "backward": "backward, peak allocated",
    "optimizer": "optimizer, peak allocated",
    "first_forward": "allocated after the first forward",
    "steady": "allocated after a step",
    "peak": "step, peak allocated",
    "run_peak": "run, peak allocated",
    "reserved": "step, peak reserved",
    "step_reserved": "optimizer, peak reserved",
    "run_reserved": "run, peak reserved",
    "process": "whole process",
    "rank_peak": "step of a rank, peak allocated",
    "rank_run_peak": "run of a rank, peak allocated",
    "rank_reserved": "step of a rank, peak reserved",
    "rank_process": "process of the heaviest rank",
    "rank_after": "allocated after training, a rank",
    "loss_peak": "loss alone, peak allocated",
    "generate_peak": "generation, peak allocated",
    "generate_reserved": "generation, peak reserved",
    "generate_process": "generation, whole process",
}
"""What each figure of `inspector.validation.ledger` is, in words."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure's errors are held to: the largest mean and worst absolute error, as shares."""

    mean: float
    worst: float

    def met(self, summary: Summary) -> bool:
        """Whether the errors of a figure stay within it."""
        return summary.mean <= self.mean and abs(summary.worst) <= self.worst

    def __str__(self) -> str:
        """``1 %, 5 %``."""
        return f"{100 * self.mean:g} %, {100 * self.worst:g} %"


BOUNDS: dict[tuple[str, str], Bound] = {
    ("t4_transformers_peft_loop", "forward"): Bound(0.0006, 0.003),
    ("t4_transformers_peft_loop", "backward"): Bound(0.0005, 0.002),
    ("t4_transformers_peft_loop", "optimizer"): Bound(0.001, 0.006),
    ("t4_transformers_peft_loop", "peak"): Bound(0.0005, 0.002),
    ("t4_transformers_peft_loop", "reserved"): Bound(0.01, 0.05),
    ("rtx4080_qlora", "load"): Bound(0.00005, 0.0001),
    ("rtx4080_qlora", "first_forward"): Bound(0.0001, 0.0005),
    ("rtx4080_qlora", "steady"): Bound(0.0005, 0.0015),
    ("rtx4080_qlora", "run_peak"): Bound(0.0001, 0.0003),
    ("rtx4080_qlora", "run_reserved"): Bound(0.005, 0.035),
    ("a100_sfttrainer", "peak"): Bound(0.0002, 0.001),
    ("a100_sfttrainer", "steady"): Bound(0.001, 0.003),
    ("a100_sfttrainer", "process"): Bound(0.007, 0.035),
    ("l40s_peft_benchmark", "steady"): Bound(0.002, 0.01),
    ("l40s_peft_benchmark", "step_reserved"): Bound(0.018, 0.04),
    ("inference_peaks", "generate_peak"): Bound(0.005, 0.03),
    ("preference", "loss_peak"): Bound(0.02, 0.02),
}
"""By file and figure. Those of runs on one card are less than twice what the errors are, which a test holds: that
accuracy halves is seen."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What is known of the errors of some runs of a set, or of how they were simulated."""

    note: str
    runs: tuple[str, ...]


@dataclass(frozen=True)
class RecordSet:
    """The comparisons of one file of records. Bytes are integers; errors are predicted over measured, less one."""

    file: str
    lines: tuple[Line, ...]
    summaries: tuple[Summary, ...]
    skipped: tuple[Question, ...]
    versions: Mapping[str, str]

    @property
    def title(self) -> str:
        """What the records are of."""
        return TITLES.get(self.file, self.file)

    @cached_property
    def runs(self) -> tuple[Question, ...]:
        """The runs compared, each once, in their order."""
        return tuple({line.question.id: line.question for line in self.lines}.values())

    @property
    def cards(self) -> tuple[str, ...]:
        """The cards they ran on."""
        return tuple(dict.fromkeys(run.gpu for run in self.runs))

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Every note with the runs it is about, in the order they appear."""
        found: dict[str, list[str]] = {}
        for run in self.runs:
            for note in dict.fromkeys(run.notes):
                found.setdefault(note, []).append(run.id)
        return tuple(Cause(note, tuple(runs)) for note, runs in found.items())

    @property
    def not_understood(self) -> tuple[Cause, ...]:
        """Every field that was given and not simulated, with its value and the runs that have it."""
        found: dict[str, list[str]] = {}
        for run in (*self.runs, *self.skipped):
            for name, value in run.not_understood:
                found.setdefault(f"{name} {value}", []).append(run.id)
        return tuple(Cause(said, tuple(runs)) for said, runs in found.items())

    @property
    def known(self) -> tuple[Cause, ...]:
        """Every known difference of a library's version, in words, with the runs it touches."""
        found: dict[str, list[str]] = {}
        for run in self.runs:
            for item in known_differences(run):
                found.setdefault(str(item), []).append(run.id)
        return tuple(Cause(said, tuple(runs)) for said, runs in found.items())

    def bound(self, summary: Summary) -> Bound | None:
        """What a figure of this set is held to."""
        return BOUNDS.get((self.file, summary.figure))

    def differs(self, run: Question) -> tuple[str, ...]:
        """The libraries of a run that were not the ones that predicted: ``torch 2.6.0, here 2.13.0``."""
        return differences(run.versions, self.versions)


def differences(measured: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """Libraries in another version than now; a build's local part (``+cu126``) says nothing of the version."""
    return tuple(
        f"{name} {version}, here {_public(now[name])}"
        for name, version in measured.items()
        if name in now and _public(version) != _public(now[name])
    )


def _public(version: str) -> str:
    return version.partition("+")[0]


def record_sets(ledger: Ledger) -> tuple[RecordSet, ...]:
    """The ledger by files, in their order; a file whose runs were all left out is there too."""
    files = dict.fromkeys(
        [*(line.question.file for line in ledger.lines), *(question.file for question in ledger.skipped)]
    )
    return tuple(
        RecordSet(
            file=file,
            lines=tuple(line for line in ledger.lines if line.question.file == file),
            summaries=tuple(summary for summary in ledger.summaries if summary.file == file),
            skipped=tuple(question for question in ledger.skipped if question.file == file),
            versions=ledger.versions,
        )
        for file in files
    )
