"""Generalized knowledge distillation on given answers: all logits of student and teacher, and their divergence.

Source: trl/experimental/gkd/gkd_trainer.py, 1.16, ``compute_loss`` and ``generalized_jsd_loss`` (``beta`` 0.5), with
the answers of the rows (``lmbda`` 0): a step on its own answers generates them before, and takes no more after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from inspector.simulate.program.around import said
from inspector.simulate.program.looks import Input
from inspector.simulate.program.objectives.log_probs import picked
from inspector.simulate.program.objectives.teacher import load_teacher, named

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.setup.training import TrainSetup
    from inspector.simulate.tracing.tracer import Tracer

BETA = 0.5


class Student:
    """A micro-batch of n texts."""

    def __init__(self, setup: TrainSetup) -> None:
        assert setup.objective is not None
        self.setup, self.prompt = setup, setup.objective.prompt_len
        self.texts, self.length = setup.batch.size, setup.batch.seq_len
        # Nothing says the first token.
        self.answered = min(self.length - 1, self.length - self.prompt)
        self.beside: PreTrainedModel | None = None
        self.tracer: Tracer | None = None

    def inputs(self) -> dict[str, Input]:
        """Source: trl/experimental/utils.py, ``DataCollatorForChatML``."""
        text, prompt = Input((self.texts, self.length)), Input((self.texts, self.prompt))
        found = dict.fromkeys(("input_ids", "attention_mask", "labels"), text)
        return found | (dict.fromkeys(("prompts", "prompt_attention_mask"), prompt) if self.prompt else {})

    def prepare(
        self, model: PreTrainedModel, _config: Mapping[str, Any], tracer: Tracer
    ) -> list[tuple[str, nn.Module]]:
        """The teacher."""
        self.tracer = tracer
        self.beside = load_teacher(self.setup, model, tracer)
        return named(self.beside)

    def begin(self, *_given: object) -> None:
        """Nothing is made of a batch before its forward."""

    def loss(self, model: PreTrainedModel, batch: dict[str, Any]) -> torch.Tensor:
        """The loss of the texts; a key-value cache that the models fill is there until it is known."""
        assert self.beside is not None
        given = {name: batch[name] for name in ("input_ids", "attention_mask")}
        own = said(self.setup.loop, model(**given))
        with torch.no_grad():
            other = said(self.setup.loop, self.beside(**given))
        found = self._divergence(own.logits[:, :-1, :], other.logits[:, :-1, :], batch["labels"][:, 1:])
        if self.tracer is not None:
            self.tracer.empty_cache()
        return found

    def _divergence(self, student: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        student, teacher = student / 1.0, teacher / 1.0  # the temperature
        own, other = (functional.log_softmax(each, dim=-1) for each in (student, teacher))
        # A tensor there, not a number: what is multiplied by it is made anew, and not in place.
        beta = torch.empty((), dtype=own.dtype, device=own.device)
        mixture = torch.logsumexp(torch.stack([own + torch.log1p(-beta), other + torch.log(beta)]), dim=0)
        of_teacher = functional.kl_div(mixture, other, reduction="none", log_target=True)
        of_student = functional.kl_div(mixture, own, reduction="none", log_target=True)
        apart = beta * of_teacher + (1 - beta) * of_student
        apart = picked(apart, labels != -100, self.texts * self.answered)
        found: torch.Tensor = apart.sum() / torch.empty((), dtype=torch.int64, device=own.device)
        return found
