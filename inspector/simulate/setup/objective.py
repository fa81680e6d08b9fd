"""What a fine-tuning trains for, where it is more than the next token of a text: pairs, rewards, a reference model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.simulate.setup.words import Objective, Reference, Rollouts, check_words

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPARES = frozenset({"dpo", "kto", "rloo", "ppo"})
"""Objectives that hold the model against a reference model."""
PAIRED = frozenset({"dpo", "orpo", "simpo", "cpo", "reward"})
"""Objectives of which a sample is a chosen and a rejected text, both in one batch of twice the size."""
FROM_LOGITS = frozenset({"dpo", "kto", "orpo", "simpo", "cpo", "grpo", "rloo", "ppo", "gkd", "distill"})
"""Objectives whose loss is made of log-probabilities over the vocabulary."""
GENERATES = frozenset({"grpo", "rloo", "ppo", "distill"})
"""Objectives that train on the model's own answers."""
SCORED = frozenset({"grpo", "rloo"})
"""Objectives whose answers are scored, several to each prompt."""
TAUGHT = frozenset({"gkd", "distill"})
"""Objectives of a student, whose distribution is to be that of a teacher on the same card."""
LOSSES = {
    **dict.fromkeys(("gkd", "ppo"), ("full",)), **dict.fromkeys(("rloo", "distill"), ("trl",)),
    **dict.fromkeys(("dpo", "kto"), ("trl", "full", "liger")), "grpo": ("trl", "liger"),
}  # fmt: skip
"""How the loss of an objective is computed, the usual way first, where it is not ``trl`` or ``full``."""
ENGINE = ("weights", "cache", "graphs", "activations")
"""What a vLLM in the process of the trainer holds, each in bytes; its activations while it answers alone."""
SHARE = 0.3
"""``vllm_gpu_memory_utilization`` where nobody says it (trl/trainer/grpo_config.py, since 0.18)."""

IMPLIED: Mapping[str, Any] = {
    "outputs": "loss", "zero_grad": "after", "padding_mask": True, "optimizer_by": "trainer", "use_cache": False,
}  # fmt: skip
"""What TRL's trainers do in their loops, whatever they train for (transformers/trainer.py, ``training_step``)."""

OF_PPO: Mapping[str, Any] = {**IMPLIED, "gradient_checkpointing": False, "use_cache": True, "optimizer_by": "trainer"}
"""PPOTrainer has a loop of its own, which turns on no checkpointing and no cache off."""


@dataclass(frozen=True, slots=True)
class ObjectiveSetup:
    """What is trained for.

    ``reference`` says where the reference model is: a ``copy`` of its own on the card; the model itself with its
    ``adapters`` off; its log-probabilities ``precomputed``, so that none is on the card; ``auto`` is what TRL does.
    Of ``seq_len`` tokens ``prompt_len`` are the prompt, which no loss is taken of. ``logits_to_keep`` makes logits of
    the answers alone (``use_logits_to_keep``, TRL 0.12 to 0.28). Of own answers ``num_generations`` are to one prompt,
    and ``steps_per_generation`` micro-batches are generated at once, 0: those of a step; ``rollouts`` says whether the
    model generates them in its step, a server elsewhere, or a vLLM ``colocated`` in its process, which holds
    ``engine`` (bytes by the names of `ENGINE`) of an ``engine_share`` of the card for sequences of an ``engine_length``
    (0: those that the model takes), and, where it ``engine_sleeps`` between its answers, graphs alone. ``reward_model``
    scores them, a model by its name on the same card. ``teacher`` is the model by its name that a student follows.
    ``sync_ref_model`` mixes the model into its reference model every so often (TR-DPO), which is a copy then.
    """

    kind: Objective = "dpo"
    reference: Reference = "auto"
    prompt_len: int = 0
    logits_to_keep: bool = False
    num_generations: int = 8
    steps_per_generation: int = 0
    rollouts: Rollouts = "transformers"
    engine: tuple[tuple[str, int], ...] = ()
    engine_share: float = SHARE
    engine_length: int = 0
    engine_sleeps: bool = False
    reward_model: str = ""
    teacher: str = ""
    sync_ref_model: bool = False

    def __post_init__(self) -> None:
        """Raise InspectorError for a word that is not known."""
        check_words(self)

    def reference_of(self, *, adapted: bool) -> Reference:
        """Where the reference model is. Source: trl/trainer/dpo_trainer.py, 1.16, ``__init__``."""
        # GRPO's ``beta`` is 0 since TRL 0.19: no reference model, unless one is asked for.
        unasked = self.reference == "auto" and not self.sync_ref_model
        if self.kind not in COMPARES and (self.kind != "grpo" or unasked):
            return "none"
        if self.reference != "auto":
            return self.reference
        if self.sync_ref_model:
            return "copy"
        return "adapters" if adapted else "copy"

    def words(self, size: int, seq_len: int, *, adapted: bool) -> str:
        """A micro-batch in words: ``2 pairs of 1,024 tokens for dpo, reference: copy``."""
        sample = "pair" if self.kind in PAIRED else "answer"
        beside = self.reference_of(adapted=adapted)
        held = "" if beside == "none" else f", reference: {beside}"
        held += f", scored by {self.reward_model}" if self.reward_model else ""
        held += f", taught by {self.teacher}" if self.teacher else ""
        return f"{size:,} {sample}{'s' * (size != 1)} of {seq_len:,} tokens for {self.kind}{held}"
