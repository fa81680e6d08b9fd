"""What a fine-tuning trains for, where it is more than the next token of a text: pairs, rewards, a reference model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.simulate.setup.words import Objective, Reference, check_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inspector.simulate.setup.settings import FinetuneSettings

COMPARES = frozenset({"dpo", "kto"})
"""Objectives that hold the model against a reference model."""
PAIRED = frozenset({"dpo", "orpo", "simpo", "cpo", "reward"})
"""Objectives of which a sample is a chosen and a rejected text, both in one batch of twice the size."""
FROM_LOGITS = frozenset({"dpo", "kto", "orpo", "simpo", "cpo"})
"""Objectives whose loss is made of log-probabilities over the vocabulary."""

IMPLIED: Mapping[str, Any] = {"outputs": "loss", "zero_grad": "after", "padding_mask": True}
"""What TRL's trainers do in their loops, whatever they train for (transformers/trainer.py, ``training_step``)."""


@dataclass(frozen=True, slots=True)
class ObjectiveSetup:
    """What is trained for.

    ``reference`` says where the reference model is: a ``copy`` of its own on the card; the model itself with its
    ``adapters`` off; its log-probabilities ``precomputed``, so that none is on the card; ``auto`` is what TRL does.
    Of ``seq_len`` tokens ``prompt_len`` are the prompt, which no loss is taken of. ``logits_to_keep`` makes logits of
    the answers alone (``use_logits_to_keep``, TRL 0.12 to 0.28).
    """

    kind: Objective = "dpo"
    reference: Reference = "auto"
    prompt_len: int = 0
    logits_to_keep: bool = False

    def __post_init__(self) -> None:
        """Raise InspectorError for a word that is not known."""
        check_words(self)

    def reference_of(self, *, adapted: bool) -> Reference:
        """Where the reference model is. Source: trl/trainer/dpo_trainer.py, 1.16, ``__init__``."""
        if self.kind not in COMPARES:
            return "none"
        if self.reference != "auto":
            return self.reference
        return "adapters" if adapted else "copy"

    def words(self, size: int, seq_len: int, *, adapted: bool) -> str:
        """A micro-batch in words: ``2 pairs of 1,024 tokens for dpo, reference: copy``."""
        sample = "pair" if self.kind in PAIRED else "answer"
        beside = self.reference_of(adapted=adapted)
        held = "" if beside == "none" else f", reference: {beside}"
        return f"{size:,} {sample}{'s' * (size != 1)} of {seq_len:,} tokens for {self.kind}{held}"


def contradictions(settings: FinetuneSettings) -> Iterator[tuple[bool, str, str]]:
    """What excludes each other: whether it is so here, what is wrong, and what to do."""
    kind, reference = settings.objective, settings.ref_model
    if kind == "sft":
        said = reference != "auto" or bool(settings.prompt_len) or settings.logits_to_keep
        yield said, "a reference model, a prompt's length and kept logits are of an objective", "add --objective dpo"
        return
    yield settings.packed, f"{kind} takes no packed sequences: a sample has a prompt and an answer", "drop --packed"
    yield settings.padded, f"{kind} takes samples of one length here: padding is not simulated", "drop --padded"
    yield settings.token_accuracy, f"the token accuracy is taken by SFTTrainer, not in {kind}", "drop it"
    yield (
        reference not in {"auto", "none"} and kind not in COMPARES,
        f"{kind} has no reference model",
        "leave out --ref-model",
    )
    yield reference == "none" and kind in COMPARES, f"{kind} compares with a reference model", "--ref-model precomputed"
    yield (
        reference == "adapters" and settings.method == "full",
        "full fine-tuning has no adapters to turn off",
        "--ref-model copy",
    )
    yield (
        settings.prompt_len >= settings.seq_len,
        f"a prompt of {settings.prompt_len:,} tokens leaves no answer within {settings.seq_len:,}",
        "raise --seq-len, which counts both",
    )
    yield (
        settings.logits_to_keep and (kind != "dpo" or settings.loss != "full"),
        "use_logits_to_keep is of DPO, where logits are made",
        "add --objective dpo --loss full",
    )
    yield (
        kind in FROM_LOGITS and settings.loss not in {"full", "trl"},
        f"{kind} is not simulated with the loss {settings.loss}",
        "--loss trl as TRL 1 does, --loss full as TRL 0 did",
    )
