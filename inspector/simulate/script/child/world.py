"""The child's world: the card, the tracer, and what is known of the run. It is put together in `installing`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from inspector.gpus import card_of_size, find_gpu
from inspector.simulate.allocator.settings import parse_settings
from inspector.simulate.device.attention_kernels import attention_temporaries
from inspector.simulate.device.kernels import GEMMS, TEMPORARIES, Kernels, _grouped_mm
from inspector.simulate.device.questions import Chip, Device
from inspector.simulate.script.child.amp import ScriptAutocast
from inspector.simulate.script.child.card_tracer import CardTracer
from inspector.simulate.script.child.cuda_module import Cuda
from inspector.simulate.script.child.imports import OnImport
from inspector.simulate.script.child.memory import Memory
from inspector.simulate.script.child.places import Shown
from inspector.simulate.script.child.scratch import Scratch
from inspector.simulate.script.child.stages import Stages
from inspector.simulate.script.child.steps import Steps
from inspector.simulate.script.child.unknown import Policies

if TYPE_CHECKING:
    from inspector.simulate.script.child.lines import Lines
    from inspector.simulate.script.job import Job

aten = torch.ops.aten


class World:
    """Everything of a run that lasts as long as it."""

    def __init__(self, job: Job, lines: Lines, alloc_conf: str) -> None:
        self.job, self.lines = job, lines
        self.card = card_of_size(job.card) if job.vram else find_gpu(job.card)
        self.device = Device(self.card.capability, self.card.multiprocessors)
        self.policies = Policies.of(job.assume)
        self.kernels = Kernels(
            temporaries={**TEMPORARIES, **attention_temporaries(self.device)},
            replaced={aten._grouped_mm.default: _grouped_mm},
            gemms=GEMMS,
            device=self.device,
        )
        self.tracer = self._tracer(lines)
        Shown.count = job.cards
        settings = parse_settings(alloc_conf)
        self.memories = [
            Memory(self.tracer, self.card, settings, full=job.oom, number=number) for number in range(job.cards)
        ]
        self.tracer.begins = self._configure
        if job.oom:
            self.tracer.served = self._served
        self.cuda = Cuda(self.card, self.tracer, self.memories)
        self.steps = Steps(job.steps, ends=job.ends)
        self.stages = Stages(self.tracer, self.steps.done)
        self.autocast = ScriptAutocast()
        self.imports = OnImport()
        self.skipped: list[str] = []
        self.model = ""
        self.scratch = Scratch(Path(job.folder))
        self.files: dict[str, int] = {}
        self.stack = ExitStack()
        """Contexts that are entered for as long as the run lasts."""

    def _tracer(self, lines: Lines) -> CardTracer:
        if not self.job.launch:
            return CardTracer(self.kernels, self.policies, lines.now)
        from inspector.simulate.script.child.rank.exchanged import Exchange
        from inspector.simulate.script.child.rank.tracer import RankCardTracer

        tracer = RankCardTracer(self.kernels, self.policies, lines.now)
        heard = Path(self.job.heard) if self.job.heard else None
        tracer.begins_as_rank(self.job.cards, Exchange(self.job.rank, heard))
        return tracer

    def _configure(self) -> None:
        for memory in self.memories:
            memory.configure()

    def _served(self, block: int) -> None:
        self.memories[self.tracer.cards.get(block, 0)].served(block)

    def skip(self, what: str) -> None:
        """Something was not done; said once in the report."""
        if what not in self.skipped:
            self.skipped.append(what)

    def saved(self, path: Path) -> None:
        """A file of weights or states was written by its size."""
        self.files[str(path)] = path.stat().st_size

    def alike(self) -> list[str]:
        """Those of the other cards on which the same would have happened."""
        asked = self.device.questions
        out = []
        for name in self.job.others:
            card = find_gpu(name)
            if Chip(card.capability, card.multiprocessors).answers_alike(asked) and self.cuda.same_for(card):
                out.append(name)
        return out
