"""A vLLM in the process of the trainer: what it holds while it answers, and while the model trains.

Sources: trl/generation/vllm_generation.py, 1.16 (``_init_vllm``, ``sync_weights``, ``generate``), and
vllm/device_allocator/cumem.py (``sleep``: memory is unmapped, and the allocator's cache emptied).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from inspector.errors import CannotSimulateError
from inspector.memory_kinds import MemoryKind
from inspector.simulate.program.merging import merge, unmerge

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from inspector.simulate.setup.objective import ObjectiveSetup
    from inspector.simulate.tracing.tracer import Tracer

PATH = "vllm"


class Engine:
    """An engine on the card of the trainer, by its bytes.

    Raises CannotSimulateError where nobody said them: they follow from rules of another room.
    """

    def __init__(self, setup: ObjectiveSetup, tracer: Tracer) -> None:
        if not setup.engine:
            raise CannotSimulateError(
                "what a colocated vLLM holds is not said",
                hint="--vllm-memory weights=2GiB --vllm-memory cache=20GiB, as its log has them",
            )
        self.bytes, self.sleeps, self.tracer = dict(setup.engine), setup.engine_sleeps, tracer
        self.held: dict[str, torch.Tensor] = {}
        # It starts awake whatever comes after: the most that loading takes is here.
        with tracer:
            for part in ("weights", "cache", "graphs"):
                self._hold(part)
        self._sleep()

    def _hold(self, part: str) -> None:
        if part not in self.held and (size := self.bytes.get(part, 0)):
            self.held[part] = torch.empty((size,), dtype=torch.uint8, device="meta")
            self.tracer.label(self.held[part], MemoryKind.ENGINE, f"{PATH}.{part}")

    def _sleep(self) -> None:
        """Level 2: weights and cache are dropped; recorded graphs are in no pool that sleeps."""
        if self.sleeps:
            for part in ("weights", "cache"):
                self.held.pop(part, None)
            self.tracer.empty_cache()

    def answer(self, model: PreTrainedModel, *, stale: bool) -> None:
        """One generation; ``stale`` where a step has changed the model since the last one."""
        if self.sleeps:
            self.tracer.empty_cache()
            self._hold("weights")
        # Of a model in full its weights are copied one by one into the engine's, which takes nothing.
        if (stale or self.sleeps) and hasattr(model, "merge_adapter"):
            merge(model, self.tracer)
            unmerge(model, self.tracer)
        self._hold("cache")
        if size := self.bytes.get("activations", 0):
            self.tracer.transient([size], f"{PATH}::forward")
        self._sleep()
