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


def generate(model: PreTrainedModel, setup: TrainSetup, tracer: Tracer, prompts: int) -> None:
    """Let a model answer so many prompts; of what that takes nothing stays."""
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
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    answered = tracer.answer
    with torch.no_grad(), _without_checkpointing(base):
        _Sampling(base, asked, tracer).run(every_step=False)
    tracer.answer = answered


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
