"""The evaluation that Trainer runs between steps: how large its batches are, and what it gathers of them and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.simulate.setup.words import Gathered, check_words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.simulate.setup.settings import FinetuneSettings


BATCHES = 2
"""As many show what the second adds to the first."""


@dataclass(frozen=True, slots=True)
class EvalSetup:
    """An evaluation after the last step: ``batches`` micro-batches of ``size`` sequences, without gradients.

    ``gathered`` is what stays of each batch until all were seen: its ``loss`` alone; its ``logits``, as
    ``compute_metrics`` makes Trainer do; or their ``argmax``, as ``preprocess_logits_for_metrics`` usually takes it.
    Every ``accumulation`` batches it goes to the host (``eval_accumulation_steps``); 0 keeps all on the card.
    """

    size: int = 8
    batches: int = BATCHES
    gathered: Gathered = "loss"
    accumulation: int = 0

    def __post_init__(self) -> None:
        """Raise InspectorError for a word that is not known."""
        check_words(self)


def contradictions(settings: FinetuneSettings) -> Iterator[tuple[bool, str, str]]:
    """What excludes each other: whether it is so here, what is wrong, and what to do."""
    said = settings.eval_gather != "loss" or settings.eval_accum or settings.eval_batches != BATCHES
    yield not settings.eval_batch and bool(said), "an evaluation has a batch size", "add --eval-batch 8"
    yield (
        settings.objective != "sft" and settings.eval_gather != "loss",
        f"the logits of {settings.objective} are not gathered: its trainer makes them anew, or none",
        "leave out --eval-gather",
    )
    yield (
        settings.eval_gather != "loss" and settings.loss in {"chunked", "liger", "trl"} and bool(settings.eval_batch),
        f"with the loss {settings.loss} there are no logits to gather",
        "use --loss full",
    )
