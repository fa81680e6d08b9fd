"""GRPO and RLOO: a policy's own answers, scored, and trained on in micro-batches.

Sources: trl/trainer/grpo_trainer.py and trl/trainer/rloo_trainer.py, 1.16: ``_prepare_inputs``,
``_generate_and_score_completions`` and ``_compute_loss`` (``loss_type`` dapo); 1.9, ``compute_liger_loss``, and
``_get_per_token_logps_and_entropies`` of logits. Reward functions run on the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.memory_kinds import MemoryKind
from inspector.simulate.program import liger
from inspector.simulate.program.around import said
from inspector.simulate.program.objectives import reference, states
from inspector.simulate.program.objectives.engine import Engine
from inspector.simulate.program.objectives.log_probs import FusedHead, selected
from inspector.simulate.program.objectives.rollout import generate
from inspector.simulate.program.objectives.scorer import Scorer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.program.looks import Input
    from inspector.simulate.setup.training import TrainSetup
    from inspector.simulate.tracing.tracer import Tracer

BETA, EPSILON = 0.05, 0.2
MOST_RATIO = 3.0
"""``vllm_importance_sampling_clip_max``, by ``sequence_mask``."""


class OwnAnswers:
    """A micro-batch of n answers; so many micro-batches are generated at once (``steps_per_generation``)."""

    def __init__(self, setup: TrainSetup) -> None:
        assert setup.objective is not None
        self.setup, self.asked = setup, setup.objective
        self.reference = self.asked.reference_of(adapted=setup.adapters is not None)
        self.answers, self.length = setup.batch.size, setup.batch.seq_len
        self.answered = self.length - self.asked.prompt_len
        self.per_generation = self.asked.steps_per_generation or setup.loop.grad_accum
        self.beside: PreTrainedModel | None = None
        self.scorer: Scorer | None = None
        self.engine: Engine | None = None
        self.number, self.synced = 0, -1
        self.buffered: list[dict[str, Any]] = []

    def inputs(self) -> dict[str, Input]:
        """Prompts come as text, and all else is made on the card."""
        return {}

    def prepare(self, model: PreTrainedModel, config: Mapping[str, Any], tracer: Tracer) -> list[tuple[str, nn.Module]]:
        """The reference model, where it is one of its own."""
        self.tracer = tracer
        if self.reference == "copy":
            self.beside = reference.load_beside(config, self.setup.load, tracer)
        for each in (model, self.beside):
            if each is not None and self.setup.loop.loss == "trl":
                FusedHead(each, tracer, self.setup.loop.autocast, self.answered)
        found = [] if self.beside is None else reference.called_beside(self.beside)
        if self.asked.reward_model:
            self.scorer = Scorer(self.asked.reward_model, self.setup.load, tracer)
            found += self.scorer.named()
        self._start(tracer)
        return found

    def _start(self, tracer: Tracer) -> None:
        """The engine, where there is one, when all else is on the card."""
        if self.asked.rollouts == "colocated":
            self.engine = Engine(self.asked, tracer)

    def begin(self, model: PreTrainedModel, step: int) -> None:
        """Before a micro-batch: answers are made where the last ones are used up."""
        if self.number % self.per_generation == 0:
            self.tracer.mark("generation", step, reset=True)
            # Those of the last generation are there until the new ones are.
            self.buffered = self._generated(model, step)
        self.number += 1

    def _generated(self, model: PreTrainedModel, step: int) -> list[dict[str, Any]]:
        count, prompt = self.answers * self.per_generation, self.asked.prompt_len
        if self.asked.rollouts == "transformers":
            generate(model, self.setup, self.tracer, count)
        elif self.engine is not None:
            self.engine.answer(model, stale=step != self.synced)
            self.synced = step
        made = {
            name: torch.empty((count, length), dtype=torch.int64, device="meta")
            for name, length in (
                ("prompt_ids", prompt), ("prompt_mask", prompt),
                ("completion_ids", self.answered), ("completion_mask", self.answered),
            )
        }  # fmt: skip
        for tensor in made.values():
            self.tracer.label(tensor, MemoryKind.INPUTS, "")
        self._complete(made, model, count)
        # ``shuffle_sequence_dict``: each is a copy in another order; then views of it.
        order = torch.empty((count,), dtype=torch.int64, device="meta")
        made = {name: tensor[order] for name, tensor in made.items()}
        parts = {name: tensor.chunk(self.per_generation) for name, tensor in made.items()}
        return [{name: tensors[part] for name, tensors in parts.items()} for part in range(self.per_generation)]

    def _complete(self, made: dict[str, Any], model: PreTrainedModel, count: int) -> None:
        """What is known of answers before a step trains on them."""
        ids, mask = self._whole(made)
        with torch.no_grad():
            if self._needs_old():
                made["old"] = self._in_parts(model, ids, mask)
            if self._corrected():
                made["sampled"] = torch.empty((count, self.answered), device="meta")
                apart = (made["old"] - made["sampled"]) * made["completion_mask"]
                ratio = torch.exp(torch.nan_to_num(apart, nan=0.0).sum(dim=-1, keepdim=True))
                made["ratio"] = ratio.masked_fill(ratio > MOST_RATIO, value=0.0)
                del apart, ratio
            if self.reference != "none":
                with reference.answering(model, self.beside, self.reference) as other:
                    made["ref"] = self._in_parts(other, ids, mask)
        if self.scorer is not None:
            with torch.no_grad():
                self.scorer.score(count, self.length)
        made["advantages"] = torch.empty((count,), device="meta")

    def _needs_old(self) -> bool:
        """Log-probabilities of the policy that answered: else they are those of the step itself.

        GRPO has no need of them where a generation ends with a step and the model itself answered; RLOO always takes
        them.
        """
        unlike = self.setup.loop.grad_accum % self.per_generation != 0
        return self.asked.kind == "rloo" or unlike or self._corrected()

    def _corrected(self) -> bool:
        """``vllm_importance_sampling_correction``, on by default, for what vLLM takes its answers for."""
        return self.asked.kind == "grpo" and self.asked.rollouts != "transformers"

    @staticmethod
    def _whole(made: dict[str, Any]) -> tuple[Any, Any]:
        ids = torch.cat((made["prompt_ids"], made["completion_ids"]), dim=1)
        return ids, torch.cat((made["prompt_mask"], made["completion_mask"]), dim=1)

    def _in_parts(self, model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor) -> Any:
        found = [
            self._log_probs(model, *part)
            for part in zip(ids.split(self.answers), mask.split(self.answers), strict=True)
        ]
        return torch.cat(found)

    def _log_probs(self, model: PreTrainedModel, ids: torch.Tensor, mask: torch.Tensor) -> Any:
        if self.setup.loop.loss == "liger":
            outputs = model(ids, attention_mask=mask, use_cache=False, logits_to_keep=self.answered + 1)
            logits = said(self.setup.loop, outputs).logits[:, :-1, :]
            del outputs
            return selected(logits.div_(1.0), ids[:, -self.answered :])
        labels = ids.masked_fill(mask == 0, -100)
        labels[:, : -self.answered] = -100
        found = model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)
        return found[0][:, -self.answered :]

    def _now(self) -> dict[str, Any]:
        """The micro-batch that is trained on."""
        return self.buffered[(self.number - 1) % self.per_generation]

    def loss(self, model: PreTrainedModel, _batch: dict[str, Any]) -> Any:
        """The loss of one micro-batch of the answers."""
        batch = self._now()
        mask = batch["completion_mask"]
        if self.setup.loop.loss == "liger":
            return self._by_liger(model, batch)
        each = self._log_probs(model, *self._whole(batch))
        advantages = batch["advantages"].unsqueeze(1)
        if self.asked.kind == "rloo":
            each, old = (each * mask).sum(1, keepdim=True), (batch["old"] * mask).sum(1, keepdim=True)
        else:
            old = batch["old"] if "old" in batch else each.detach()
        ratio = torch.exp(each - old)
        clipped = torch.clamp(ratio, 1 - EPSILON, 1 + EPSILON)
        losses = -torch.min(ratio * advantages, clipped * advantages)
        if self.asked.kind == "rloo":
            mean: torch.Tensor = losses.mean()
            return mean
        if "ratio" in batch:
            losses = losses * batch["ratio"]
        if "ref" in batch:
            drift = batch["ref"] - each
            losses = losses + BETA * (torch.exp(drift) - drift - 1)
        loss: torch.Tensor = (losses * mask).sum() / mask.sum().clamp(min=1)
        return loss

    def _by_liger(self, model: PreTrainedModel, batch: dict[str, Any]) -> Any:
        ids, mask = self._whole(batch)
        outputs, weight = states.seen(model, {"input_ids": ids, "attention_mask": mask})
        own = outputs.last_hidden_state[:, :-1, :][:, -self.answered :, :]
        del outputs
        with states.at_the_head(model, self.tracer):
            return liger.selected(own, weight, batch["completion_ids"], scaled=states.scaled(self.setup.loop))
