"""A process reward model: right or wrong, said at the end of each step of a solution. Two logits a token.

Source: trl/experimental/prm/prm_trainer.py, 1.13, the last release that has it: Trainer's own loss.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.simulate.program.looks import Input

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.setup.training import TrainSetup
    from inspector.simulate.tracing.tracer import Tracer


class Judge:
    """A micro-batch of n solutions."""

    def __init__(self, setup: TrainSetup) -> None:
        self.batch = setup.batch
        self.beside: PreTrainedModel | None = None

    def inputs(self) -> dict[str, Input]:
        """Source: ``DataCollatorForTokenClassification`` of transformers."""
        each = Input((self.batch.size, self.batch.seq_len))
        return dict.fromkeys(("input_ids", "attention_mask", "labels"), each)

    def prepare(
        self, _model: PreTrainedModel, _config: Mapping[str, Any], _tracer: Tracer
    ) -> list[tuple[str, nn.Module]]:
        """Nothing stands beside the model."""
        return []

    def begin(self, *_given: object) -> None:
        """Nothing is made of a batch before its forward."""

    def loss(self, model: PreTrainedModel, batch: dict[str, Any]) -> torch.Tensor:
        """The loss of the steps."""
        found: torch.Tensor = model(**batch).loss
        return found
