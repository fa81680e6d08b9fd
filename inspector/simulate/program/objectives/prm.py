"""A process reward model: right or wrong, said at the end of each step of a solution. Two logits a token.

Source: trl/experimental/prm/prm_trainer.py, 1.13, the last release that has it: Trainer's own loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.simulate.program.looks import Input
from inspector.simulate.program.objectives.scored import Scored

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class Judge(Scored):
    """A micro-batch of n solutions."""

    def inputs(self) -> dict[str, Input]:
        """Source: ``DataCollatorForTokenClassification`` of transformers."""
        each = Input((self.batch.size, self.batch.seq_len))
        return dict.fromkeys(("input_ids", "attention_mask", "labels"), each)

    def loss(self, model: PreTrainedModel, batch: dict[str, Any]) -> torch.Tensor:
        """The loss of the steps."""
        found: torch.Tensor = model(**batch).loss
        return found
