"""The dry runs of which the films are made: a QLoRA step as the deck's other slides have it, and an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.errors import CannotSimulateError, ContradictionError
from inspector.lesson.film import Films, of_answer, of_step
from inspector.lesson.training import BATCH_SIZE, SEQ_LEN

if TYPE_CHECKING:
    from inspector.lora import TargetSet

CARD = "T4"
QLORA: dict[str, Any] = {"scheme": "nf4", "double_quant": True}
ANSWER = {"batch_size": 8, "prompt_len": 2048, "max_new_tokens": 2048}
"""Enough sequences and tokens for the cache to be seen beside the weights."""


def make(reference: str, usual: TargetSet, r: int) -> Films | None:
    """Both films of a model; None where one of the two runs cannot be simulated.

    Args:
        reference: the model, as everywhere.
        usual: the targets of the adapters.
        r: their rank; alpha is twice as much.

    Raises InspectorError for an unknown model.
    """
    from inspector.simulate.finetuning import finetune
    from inspector.simulate.generation import simulate_generate

    step = {
        **QLORA, "method": "qlora", "gpu": CARD, "batch_size": BATCH_SIZE, "seq_len": SEQ_LEN, "r": r, "alpha": 2 * r,
        "target_modules": usual.target_modules,
    }  # fmt: skip
    answer = {**QLORA, **ANSWER, "gpu": CARD}
    try:
        return Films(
            of_step(finetune(reference, **step), tuple(step.items())),
            of_answer(simulate_generate(reference, **answer), tuple(answer.items())),
        )
    except (CannotSimulateError, ContradictionError):
        return None
