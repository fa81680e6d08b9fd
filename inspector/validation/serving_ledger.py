"""Engines' logs beside what their rules say: which figure, how far off, within what the print and the range allow."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from inspector.errors import InspectorError
from inspector.reporting import TableReport
from inspector.validation.serving_others import llamacpp_lines, ollama_lines, sglang_lines
from inspector.validation.serving_records import logs
from inspector.validation.serving_vllm import vllm_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inspector.validation.serving_lines import LogLine
    from inspector.validation.serving_records import Log

_LINES: dict[str, Callable[[Log], Iterator[LogLine]]] = {
    "vllm": vllm_lines, "sglang": sglang_lines, "llama.cpp": llamacpp_lines, "ollama": ollama_lines,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FigureSummary:
    """One figure over all logs: how many, how many exact to the print, absolute errors as shares.

    ``widest`` is the widest stated range as a share of its card, of one card without adapters or an encoder; 0 where no
    range is judged by that.
    """

    figure: str
    count: int
    exact: int
    mean: float
    median: float
    worst: float
    worst_id: str
    held: int
    widest: float = 0.0


@dataclass(frozen=True)
class ServingLedger(TableReport):
    """Every comparison, and the logs of which nothing is compared with the reason."""

    kind: ClassVar[str] = "serving_ledger"

    name: str
    lines: tuple[LogLine, ...]
    left_out: tuple[tuple[str, str], ...]
    seconds: float

    @property
    def summaries(self) -> tuple[FigureSummary, ...]:
        """A row a figure, in the order they appear."""
        return tuple(self._summary(name) for name in dict.fromkeys(line.figure for line in self.lines))

    def _summary(self, name: str) -> FigureSummary:
        chosen = [line for line in self.lines if line.figure == name]
        errors = sorted(abs(line.error) for line in chosen)
        worst = max(chosen, key=lambda line: abs(line.error))
        middle = len(errors) // 2
        median = errors[middle] if len(errors) % 2 else (errors[middle - 1] + errors[middle]) / 2
        return FigureSummary(
            name, len(chosen), sum(line.verdict == "exact" for line in chosen), sum(errors) / len(errors), median,
            worst.error, worst.log, sum(line.verdict != "outside" for line in chosen),
            max(line.width for line in chosen),
        )  # fmt: skip


def validate_serving(name: str) -> ServingLedger:
    """Ask `inspector.serving` about every log of a set, or of a file in that form, and compare.

    Raises InspectorError for a file that is none, or one of which nothing can be compared.
    """
    began = time.perf_counter()
    lines: list[LogLine] = []
    left_out: list[tuple[str, str]] = []
    for log in logs(name):
        try:
            found = lines_of(log)
        except InspectorError as error:
            left_out.append((log.id, error.message))
            continue
        lines += found
        if not found:
            left_out.append((log.id, _why(log)))
    if not lines:
        raise InspectorError(f"no log of {name} can be compared", hint=left_out[0][1] if left_out else "it has none")
    return ServingLedger(name, tuple(lines), tuple(left_out), time.perf_counter() - began)


def lines_of(log: Log) -> list[LogLine]:
    """Each figure of a log that follows from what it says, beside the predicted one."""
    return list(_LINES[log.engine](log)) if log.engine in _LINES else []


def _why(log: Log) -> str:
    if log.source is None:
        return f"the config of {str(log.record.get('model'))[:60]} is not kept here"
    return "none of its figures follows from what it says"
