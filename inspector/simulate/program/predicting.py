"""Answers of an encoder-decoder within Trainer's evaluation, to be scored as text.

Source: transformers/trainer_seq2seq.py, 5.23, ``prediction_step`` (``predict_with_generate``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from inspector.errors import CannotSimulateError
from inspector.simulate.program.decoding_loop import Decoding
from inspector.simulate.program.looks import is_encoder_decoder
from inspector.simulate.setup.generation import GenerateSetup

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from inspector.simulate.setup.evaluation import EvalSetup
    from inspector.simulate.setup.training import TrainSetup
    from inspector.simulate.tracing.tracer import Tracer


class _Predicting(Decoding):
    """The loop of `generate`, all of it in the stage of the evaluation."""

    def _mark(self, _step: int, *, reset: bool) -> None:
        self.tracer.forward_begins()


def predicted(model: PreTrainedModel, training: TrainSetup, setup: EvalSetup, tracer: Tracer) -> torch.Tensor:
    """The ids of a batch's answers, padded to their longest, on the card.

    Raises CannotSimulateError for a model that is no encoder-decoder: its answers would follow the batch's own texts.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not is_encoder_decoder(base):
        raise CannotSimulateError(
            f"{type(base).__name__} is no encoder-decoder, whose answers an evaluation predicts",
            hint="--eval-gather logits",
        )
    # One token is the decoder's start, which the length counts.
    asked = GenerateSetup(
        load=training.load, batch_size=setup.size, prompt_len=training.batch.seq_len,
        max_new_tokens=setup.max_length - 1, num_beams=setup.num_beams, cache="dynamic", routing=training.routing,
    )  # fmt: skip
    answered = tracer.answer
    with torch.no_grad():
        _Predicting(base, asked, tracer).run(every_step=False)
    tracer.answer = answered
    return torch.empty((setup.size, setup.max_length), dtype=torch.int64, device="meta")
