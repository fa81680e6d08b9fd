"""The evaluation that Trainer runs between steps: how large its batches are, and what it gathers of them and where."""

from __future__ import annotations

from dataclasses import dataclass

from inspector.simulate.setup.words import Gathered, check_words

BATCHES = 2
"""As many show what the second adds to the first."""
LENGTH = 20
"""``max_length`` of a generation config that says none, with the token that a decoder starts from."""


@dataclass(frozen=True, slots=True)
class EvalSetup:
    """An evaluation after the last step: ``batches`` micro-batches of ``size`` sequences, without gradients.

    ``gathered`` is what stays of each batch until all were seen: its ``loss`` alone; its ``logits``, as
    ``compute_metrics`` makes Trainer do; their ``argmax``, as ``preprocess_logits_for_metrics`` usually takes it; or
    what an encoder-decoder ``generated`` before (``predict_with_generate``), of ``max_length`` tokens by ``num_beams``
    beams. Every ``accumulation`` batches it goes to the host (``eval_accumulation_steps``); 0 keeps all on the card.
    """

    size: int = 8
    batches: int = BATCHES
    gathered: Gathered = "loss"
    accumulation: int = 0
    max_length: int = LENGTH
    num_beams: int = 1

    def __post_init__(self) -> None:
        """Raise InspectorError for a word that is not known."""
        check_words(self)
