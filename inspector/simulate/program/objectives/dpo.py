"""Direct preference optimization: a chosen and a rejected answer in one batch, held against a reference model.

Sources: trl/trainer/dpo_trainer.py, 1.16, ``_compute_loss`` (log-probabilities by a fused head), and 0.24,
``concatenated_forward`` and ``get_batch_loss_metrics`` (from logits, with every layer's hidden states asked for); 1.9,
``_compute_loss_liger``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from inspector.simulate.program import liger
from inspector.simulate.program.around import said
from inspector.simulate.program.looks import Input
from inspector.simulate.program.objectives import reference, states
from inspector.simulate.program.objectives.log_probs import FusedHead, selected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.setup.training import TrainSetup
    from inspector.simulate.tracing.tracer import Tracer

BETA = 0.1


class Preference:
    """DPO with its loss ``sigmoid``; a micro-batch of n pairs is 2 n sequences."""

    def __init__(self, setup: TrainSetup) -> None:
        assert setup.objective is not None
        self.setup, self.asked = setup, setup.objective
        self.reference = self.asked.reference_of(adapted=setup.adapters is not None)
        self.pairs, self.length = setup.batch.size, setup.batch.seq_len
        # Nothing says the first token.
        self.answered = min(self.length - 1, self.length - self.asked.prompt_len)
        self.beside: PreTrainedModel | None = None

    def inputs(self) -> dict[str, Input]:
        """Source: ``DataCollatorForPreference`` (1.16); 0.24 makes the same of a prompt and two answers."""
        both = Input((2 * self.pairs, self.length))
        found = {"input_ids": both, "attention_mask": both, "completion_mask": both}
        if self.reference == "precomputed":
            found |= dict.fromkeys(("ref_chosen_logps", "ref_rejected_logps"), Input((self.pairs,), torch.float32))
        return found

    def prepare(self, model: PreTrainedModel, config: Mapping[str, Any], tracer: Tracer) -> list[tuple[str, nn.Module]]:
        """The reference model, where it is one of its own."""
        loop, self.tracer = self.setup.loop, tracer
        if self.reference == "copy":
            self.beside = reference.load_beside(config, self.setup.load, tracer)
        named = [] if self.beside is None else reference.called_beside(self.beside)
        if loop.loss == "trl":
            for each in (model, self.beside):
                if each is not None:
                    FusedHead(each, tracer, loop.autocast, self.answered)
        return named

    def begin(self, *_given: object) -> None:
        """Nothing is made of a batch before its forward."""

    def loss(self, model: PreTrainedModel, batch: dict[str, Any]) -> Any:
        """The loss of the pairs."""
        if self.setup.loop.loss == "liger":
            return self._by_liger(model, batch)
        log_probs = self._fused if self.setup.loop.loss == "trl" else self._from_logits
        chosen, rejected = log_probs(model, batch).chunk(2)
        if self.reference == "precomputed":
            ref_chosen, ref_rejected = batch["ref_chosen_logps"], batch["ref_rejected_logps"]
        else:
            with reference.answering(model, self.beside, self.reference) as other:
                ref_chosen, ref_rejected = log_probs(other, batch).chunk(2)
        delta = (chosen - ref_chosen) - (rejected - ref_rejected)
        return -functional.logsigmoid(BETA * delta).mean()

    def _by_liger(self, model: PreTrainedModel, batch: dict[str, Any]) -> Any:
        """Both models' states are held, as they come and as they are copied for the loss."""
        outputs, weight = states.seen(model, batch)
        own = outputs.last_hidden_state[:, :-1].contiguous()
        with reference.answering(model, self.beside, self.reference) as other:
            other_outputs, other_weight = states.seen(other, batch)
            theirs = other_outputs.last_hidden_state[:, :-1].contiguous()
        labels = batch["input_ids"][:, 1:].clone()
        labels[batch["completion_mask"][:, 1:] == 0] = -100
        scaled = states.scaled(self.setup.loop)
        with states.at_the_head(model, self.tracer):
            return liger.compared(own, weight, labels, theirs, other_weight, paired=True, scaled=scaled)

    def _fused(self, model: PreTrainedModel, batch: dict[str, Any]) -> Any:
        ids = batch["input_ids"]
        labels = ids.masked_fill(batch["completion_mask"] == 0, -100)
        found = model(input_ids=ids, attention_mask=batch["attention_mask"], labels=labels, fused_lm_head=True)
        return found[0].sum(dim=1)

    def _from_logits(self, model: PreTrainedModel, batch: dict[str, Any]) -> Any:
        ids, more = batch["input_ids"], {}
        kept = self.length - self.asked.prompt_len + 1  # one for the first label
        if self.asked.logits_to_keep and kept < self.length:
            more["logits_to_keep"] = kept
        # Held as long as this function runs, with all that a model gives beside them.
        outputs = said(
            self.setup.loop,
            model(ids, attention_mask=batch["attention_mask"], use_cache=False, output_hidden_states=True, **more),
        )
        logits = outputs.logits
        labels = torch.roll(ids, shifts=-1, dims=1)
        mask = torch.roll(batch["completion_mask"], shifts=-1, dims=1).bool()
        labels, mask = labels[:, -logits.shape[1] :], mask[:, -logits.shape[1] :]
        labels = torch.where(mask, labels, 0)
        each = torch.where(mask, selected(logits, labels), 0)
        each = torch.roll(each, shifts=1, dims=1)
        found = each[:, 1:].sum(-1)
        for _half in range(2):
            # ``logits[:pairs][mask].mean()``: a copy of the answers' logits for each of two figures in the log.
            logits.new_empty((self.pairs * self.answered, logits.size(-1))).mean()
        return found
