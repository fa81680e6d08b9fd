"""What a model's class is for, read off its name, and PEFT's word for that task. Pure strings."""

from __future__ import annotations

from typing import Literal

TaskType = Literal["", "CAUSAL_LM", "SEQ_2_SEQ_LM", "SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"]

_PEFT: dict[str, TaskType] = {
    "SequenceClassification": "SEQ_CLS",
    "TokenClassification": "TOKEN_CLS",
    "QuestionAnswering": "QUESTION_ANS",
    "QuestionAnsweringSimple": "QUESTION_ANS",
}
_LABELLED = ("classifier", "score")
PEFT_HEADS: dict[str, tuple[str, ...]] = {
    "SEQ_CLS": _LABELLED,
    "TOKEN_CLS": _LABELLED,
    "QUESTION_ANS": ("qa_outputs",),
}
"""Modules that PEFT adds to ``modules_to_save`` by its task type (peft/peft_model.py, the wrappers' ``__init__``)."""


def head_of(architecture: str) -> str:
    """What a class puts on its model: ``SequenceClassification`` of ``LlamaForSequenceClassification``, else ""."""
    return architecture.rpartition("For")[2] if "For" in architecture else ""


def peft_task(architecture: str) -> TaskType:
    """The task type that such a class is tuned with, where PEFT then trains its head whole; "" for any other."""
    return _PEFT.get(head_of(architecture), "")
