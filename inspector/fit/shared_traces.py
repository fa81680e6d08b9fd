"""Traces of one model for many cards: a card takes the trace of another that answers all its questions the same way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.memory_kinds import MemoryKind
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.events import Alloc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.gpus import Gpu
    from inspector.simulate.allocator.timeline import Timeline
    from inspector.simulate.program.trace import Trace
    from inspector.simulate.setup.training import TrainSetup


class SharedTraces:
    """Traces of one model, no two alike, each with its replay by PyTorch's default allocator without a limit."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._made: dict[TrainSetup, list[tuple[Trace, Timeline]]] = {}

    def of(self, setup: TrainSetup, card: Gpu) -> tuple[Trace, Timeline]:
        """What a setup traces on a card. Raises CannotSimulateError."""
        from inspector.architecture.libraries import need

        need("torch")  # before our own modules that import it: what is missing is one line
        from inspector.simulate.device.kernels import workspace_bytes
        from inspector.simulate.device.questions import Chip
        from inspector.simulate.finetuning import trace

        chip, made = Chip(card.capability, card.multiprocessors), self._made.setdefault(setup, [])
        others = [(chip.answers_otherwise(found[0].questions), found) for found in made]
        # Before those that are only near: what is there needs neither copy nor replay.
        for otherwise, found in others:
            if not otherwise:
                return found
        near = [found[0] for otherwise, found in others if otherwise == {workspace_bytes}]
        traced = _with_workspace(near[0], workspace_bytes(chip)) if near else trace(self._config, setup, card)
        made.append((traced, replay(traced.events)))
        return made[-1]


def _with_workspace(traced: Trace, nbytes: int) -> Trace:
    """The trace of a card that differs in the size of BLAS workspaces alone: these are the blocks of their kind."""
    from inspector.simulate.device.kernels import workspace_bytes

    events = tuple(
        replace(event, nbytes=nbytes) if isinstance(event, Alloc) and event.kind is MemoryKind.WORKSPACE else event
        for event in traced.events
    )
    return replace(traced, events=events, questions={**traced.questions, (workspace_bytes, ()): nbytes})
