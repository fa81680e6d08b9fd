"""Dry runs of benchmarks of a loss alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.gpus import find_gpu
from inspector.simulate.allocator.settings import AllocatorSettings
from inspector.simulate.allocator.timeline import replay

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class LossReport:
    """What a benchmark is compared by: the highest allocated of a round as all later ones, in bytes."""

    peak_allocated_bytes: int


def run_loss_benchmark(point: Mapping[str, Any], gpu: str) -> LossReport:
    """Trace one point of a benchmark. ``point`` is what `inspector.validation.forms.preference` reads."""
    from inspector.simulate.program.loss_benchmark import LossBenchmark, trace_loss_benchmark

    card = find_gpu(gpu)
    events = trace_loss_benchmark(LossBenchmark(**point), card.capability, card.multiprocessors)
    return LossReport(replay(events, AllocatorSettings()).stages[-1].peak_allocated)
