"""A reward model: one score for each text, the chosen one's to be higher. No logits of a vocabulary.

Source: trl/trainer/reward_trainer.py, 1.16, ``compute_loss`` and ``DataCollatorForPreference``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from inspector.simulate.program.looks import Input

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.setup.training import TrainSetup
    from inspector.simulate.tracing.tracer import Tracer


class Reward:
    """A micro-batch of n pairs is 2 n sequences."""

    def __init__(self, setup: TrainSetup) -> None:
        self.batch = setup.batch
        self.beside: PreTrainedModel | None = None

    def inputs(self) -> dict[str, Input]:
        """The chosen texts, then the rejected ones."""
        both = Input((2 * self.batch.size, self.batch.seq_len))
        return {"input_ids": both, "attention_mask": both}

    def prepare(
        self, _model: PreTrainedModel, _config: Mapping[str, Any], _tracer: Tracer
    ) -> list[tuple[str, nn.Module]]:
        """Nothing stands beside the model."""
        return []

    def begin(self, *_given: object) -> None:
        """Nothing is made of a batch before its forward."""

    def loss(self, model: PreTrainedModel, batch: dict[str, Any]) -> torch.Tensor:
        """The loss of the pairs."""
        outputs = model(**batch, use_cache=False)
        chosen, rejected = torch.chunk(outputs.logits.squeeze(-1), chunks=2)
        return -functional.logsigmoid(chosen - rejected).mean()
