"""A reward model on the card that scores the answers of a policy: all those of a generation in one forward.

Source: trl/trainer/grpo_trainer.py, 1.16: ``AutoModelForSequenceClassification.from_pretrained`` with the policy's own
``model_init_kwargs``, and ``_calculate_rewards``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from inspector.memory_kinds import MemoryKind
from inspector.simulate.program.inputs import settle
from inspector.simulate.program.objectives import reference
from inspector.simulate.program.objectives.classes import scoring
from inspector.sources.resolve import resolve_config

if TYPE_CHECKING:
    from torch import nn

    from inspector.simulate.setup.load import LoadSetup
    from inspector.simulate.tracing.tracer import Tracer

PATH = "reward"


class Scorer:
    """A model by its name, loaded as the policy is. Raises InspectorError where it is not known or cannot score."""

    def __init__(self, name: str, load: LoadSetup, tracer: Tracer) -> None:
        self.tracer = tracer
        # Its config says whether it fills a cache, which nothing turns off.
        self.model = reference.load_beside(
            scoring(resolve_config(name)), replace(load, use_cache=True), tracer, path=PATH, kind=MemoryKind.REWARD
        )
        settle(self.model)

    def named(self) -> list[tuple[str, nn.Module]]:
        """Its modules by the paths that reports call them."""
        return reference.called_beside(self.model, PATH)

    def score(self, answers: int, length: int) -> None:
        """Score so many answers, prompts and all."""
        rewards = torch.zeros((answers, 1), device="meta")
        batch = {name: torch.empty((answers, length), dtype=torch.int64, device="meta") for name in _BATCH}
        for tensor in batch.values():
            self.tracer.label(tensor, MemoryKind.INPUTS, "")
        rewards[:, 0] = self.model(**batch).logits[:, 0]


_BATCH = ("input_ids", "attention_mask")
