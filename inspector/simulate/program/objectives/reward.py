"""A reward model: one score for each text, the chosen one's to be higher. No logits of a vocabulary.

Source: trl/trainer/reward_trainer.py, 1.16, ``compute_loss`` and ``DataCollatorForPreference``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from inspector.simulate.program.looks import Input
from inspector.simulate.program.objectives.scored import Scored

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Reward(Scored):
    """A micro-batch of n pairs is 2 n sequences."""

    def inputs(self) -> dict[str, Input]:
        """The chosen texts, then the rejected ones."""
        both = Input((2 * self.batch.size, self.batch.seq_len))
        return {"input_ids": both, "attention_mask": both}

    def loss(self, model: PreTrainedModel, batch: dict[str, Any]) -> torch.Tensor:
        """The loss of the pairs."""
        outputs = model(**batch, use_cache=False)
        chosen, rejected = torch.chunk(outputs.logits.squeeze(-1), chunks=2)
        return -functional.logsigmoid(chosen - rejected).mean()
