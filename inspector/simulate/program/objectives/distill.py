"""Distillation on a student's own answers: hidden states of student and teacher, and no logits beyond two tiles.

Source: trl/trainer/distillation_trainer.py, 1.16: ``_generate_and_score_completions``, ``_compute_loss`` and
``_chunked_divergence_loss``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.parallel import DistributedDataParallel

from inspector.simulate.program.objectives.divergence import divergence
from inspector.simulate.program.objectives.grpo import OwnAnswers
from inspector.simulate.program.objectives.log_probs import picked
from inspector.simulate.program.objectives.teacher import load_teacher, named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.setup.training import TrainSetup
    from inspector.simulate.tracing.tracer import Tracer


class Distilled(OwnAnswers):
    """A micro-batch of n answers; those of a step are generated at once, and nothing is known of them before."""

    def __init__(self, setup: TrainSetup) -> None:
        super().__init__(setup)
        self.dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(setup.loop.autocast)

    def prepare(
        self, model: PreTrainedModel, _config: Mapping[str, Any], tracer: Tracer
    ) -> list[tuple[str, nn.Module]]:
        """The teacher, and an engine."""
        self.tracer = tracer
        self.beside = load_teacher(self.setup, model, tracer)
        self._start(tracer)
        return named(self.beside)

    def _complete(self, _made: dict[str, Any], _model: PreTrainedModel, _count: int) -> None:
        """Nothing."""

    def loss(self, model: PreTrainedModel, _batch: dict[str, Any]) -> torch.Tensor:
        """The loss of one micro-batch of the answers: within the forward of what wraps the model, where that is."""
        if not isinstance(model, DistributedDataParallel):
            return self._loss(model)
        inside, plain = model.module, model.module.forward

        def once() -> torch.Tensor:
            inside.forward = plain
            return self._loss(inside)

        # Source: trl/models/utils.py, 1.16, ``_ForwardRedirection``.
        inside.forward = once
        found: torch.Tensor = model()
        return found

    def _loss(self, model: PreTrainedModel) -> torch.Tensor:
        assert self.beside is not None
        batch = self._now()
        ids, mask = self._whole(batch)
        student = model.get_base_model() if hasattr(model, "get_base_model") else model
        seen = self._hidden(student, ids, mask)
        with torch.no_grad():
            seen_beside = self._hidden(self.beside, ids, mask)
        heads = [each.get_output_embeddings() for each in (student, self.beside)]
        valid = batch["completion_mask"].reshape(-1) != 0
        count = self.answers * self.answered
        own, other = (
            picked(hidden.reshape(-1, hidden.size(-1)), valid, count) for hidden in (seen, seen_beside)
        )  # fmt: skip
        before = self.tracer.enter(heads[0])
        apart, entropy = divergence(
            own, heads[0].weight, other, heads[1].weight, self.dtype or own.dtype
        )  # fmt: skip
        self.tracer.leave(before)
        loss: torch.Tensor = apart.sum() / valid.sum()
        entropy.sum()
        return loss

    def _hidden(self, model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What the head sees of the answers; the head itself is not called."""
        found: torch.Tensor = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        return found[:, :-1, :][:, -self.answered :, :]
