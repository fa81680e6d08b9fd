"""Answers that a policy gives itself within its step: generated with a key-value cache beside all that training holds.

Source: trl/trainer/grpo_trainer.py, 1.16, ``_generate_single_turn`` (``generate`` of transformers, sampling, under
``unwrap_model_for_generation``, which turns checkpointing off meanwhile).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from inspector.simulate.program.decoding_loop import Decoding
from inspector.simulate.setup.generation import GenerateSetup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.setup.training import TrainSetup
    from inspector.simulate.tracing.tracer import Tracer


class _Sampling(Decoding):
    """The loop of `generate`, all of it in one stage of the step that trains; the next token is drawn."""

    def _mark(self, _step: int, *, reset: bool) -> None:
        self.tracer.forward_begins()

    def _next(self, scores: torch.Tensor) -> torch.Tensor:
        # Temperature 1 and no cut of the vocabulary, TRL's defaults, process nothing.
        return torch.multinomial(torch.softmax(scores, dim=-1), num_samples=1).squeeze(1)


class _Keeping(_Sampling):
    """With the scores of every token, by a temperature (``output_scores``)."""

    def __init__(self, model: PreTrainedModel, setup: GenerateSetup, tracer: Tracer, temperature: float) -> None:
        super().__init__(model, setup, tracer)
        self.temperature, self.kept = temperature, list[torch.Tensor]()

    def _next(self, scores: torch.Tensor) -> torch.Tensor:
        self.kept.append(scores / self.temperature)
        return super()._next(self.kept[-1])

    def _grow(self, tokens: int) -> None:
        super()._grow(tokens)
        # Those of the steps between, at once.
        self.kept.append(self.kept[-1].new_empty((tokens, *self.kept[-1].shape)))


def generate_with_scores(
    model: PreTrainedModel, setup: TrainSetup, tracer: Tracer, prompts: int, temperature: float
) -> torch.Tensor:
    """Let a model answer so many prompts; the scores of its answers stay: (prompts, tokens, vocabulary), in float32.

    Source: trl/experimental/ppo/ppo_trainer.py, 1.12, ``generate`` (each token's scores, then all of them stacked) and
    ``batch_generation`` (padded: one copy more).
    """
    base, asked = _asked(model, setup, prompts)
    answered = tracer.answer
    with torch.no_grad(), _without_checkpointing(base):
        loop = _Keeping(base, asked, tracer, temperature)
        loop.run(every_step=False)
        first = loop.kept[0]
        stacked = first.new_empty((prompts, asked.max_new_tokens, first.size(-1)))
        del loop, first
        padded = torch.empty_like(stacked)
    tracer.answer = answered
    return padded


def generate(model: PreTrainedModel, setup: TrainSetup, tracer: Tracer, prompts: int) -> None:
    """Let a model answer so many prompts; of what that takes nothing stays."""
    base, asked = _asked(model, setup, prompts)
    answered = tracer.answer
    with torch.no_grad(), _without_checkpointing(base):
        _Sampling(base, asked, tracer).run(every_step=False)
    tracer.answer = answered


def _asked(model: PreTrainedModel, setup: TrainSetup, prompts: int) -> tuple[PreTrainedModel, GenerateSetup]:
    """The model below PEFT's wrapper, and what it is asked."""
    assert setup.objective is not None
    asked = GenerateSetup(
        load=setup.load,
        batch_size=prompts,
        prompt_len=setup.objective.prompt_len,
        max_new_tokens=setup.batch.seq_len - setup.objective.prompt_len,
        num_beams=1,
        cache="dynamic",
        routing=setup.routing,
    )
    return (model.get_base_model() if hasattr(model, "get_base_model") else model), asked


@contextmanager
def _without_checkpointing(model: nn.Module) -> Iterator[None]:
    """``gradient_checkpointing_disable``, and enabled again with what it was enabled by."""
    on = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
    for module in on:
        module.gradient_checkpointing = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in on:
            module.gradient_checkpointing = True  # type: ignore[assignment]
