"""Models that score texts (a reward model, a process reward model): nothing stands beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.setup.training import TrainSetup
    from inspector.simulate.tracing.tracer import Tracer


class Scored:
    """An objective of texts as they come; what they are and their loss is each one's own."""

    def __init__(self, setup: TrainSetup) -> None:
        self.batch = setup.batch
        self.beside: PreTrainedModel | None = None

    def prepare(
        self, _model: PreTrainedModel, _config: Mapping[str, Any], _tracer: Tracer
    ) -> list[tuple[str, nn.Module]]:
        """Nothing stands beside the model."""
        return []

    def begin(self, *_given: object) -> None:
        """Nothing is made of a batch before its forward."""
