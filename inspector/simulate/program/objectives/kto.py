"""Kahneman-Tversky optimization: single answers, good or bad, and the same prompts with other answers beside them.

Sources: trl/trainer/kto_trainer.py, 1.16, ``_compute_loss`` and ``_compute_kl_logps`` (by a fused head), and 0.24,
``forward`` and ``get_batch_logps`` (from logits, which are copied apart for the log); 1.9, ``_compute_loss_liger``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

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


class Unpaired:
    """KTO with its loss ``kto``; half of a micro-batch, rounded up, is taken for good answers."""

    def __init__(self, setup: TrainSetup) -> None:
        assert setup.objective is not None
        self.setup, self.asked = setup, setup.objective
        self.reference = self.asked.reference_of(adapted=setup.adapters is not None)
        self.samples, self.length = setup.batch.size, setup.batch.seq_len
        self.answered = min(self.length - 1, self.length - self.asked.prompt_len)
        self.good = (self.samples + 1) // 2
        self.beside: PreTrainedModel | None = None

    def inputs(self) -> dict[str, Input]:
        """Source: ``DataCollatorForUnpairedPreference``, 1.16."""
        each = Input((self.samples, self.length))
        names = ("input_ids", "attention_mask", "completion_mask")
        found = {f"{of}{name}": each for of in ("", "KL_") for name in names}
        found["label"] = Input((self.samples,), torch.bool)
        if self.reference == "precomputed":
            found |= dict.fromkeys(("ref_logps", "ref_KL_logps"), Input((self.samples,), torch.float32))
        return found

    def prepare(self, model: PreTrainedModel, config: Mapping[str, Any], tracer: Tracer) -> list[tuple[str, nn.Module]]:
        """The reference model, where it is one of its own."""
        loop, self.tracer = self.setup.loop, tracer
        if self.reference == "copy":
            self.beside = reference.load_beside(config, self.setup.load, tracer)
        if loop.loss == "trl":
            for each in (model, self.beside):
                if each is not None:
                    FusedHead(each, tracer, loop.autocast, self.answered)
        return [] if self.beside is None else reference.called_beside(self.beside)

    def begin(self, *_given: object) -> None:
        """Nothing is made of a batch before its forward."""

    def loss(self, model: PreTrainedModel, batch: dict[str, Any]) -> Any:
        """The loss of the answers; what others say of them is without gradients."""
        with torch.no_grad():
            others = self._log_probs(model, batch, "KL_")
        if self.setup.loop.loss == "liger":
            return self._by_liger(model, batch)
        own, _held = self._both(model, batch)
        if self.reference == "precomputed":
            ref, ref_others = batch["ref_logps"], batch["ref_KL_logps"]
        else:
            with reference.answering(model, self.beside, self.reference) as other:
                ref_others = self._log_probs(other, batch, "KL_")
                ref, _held_beside = self._both(other, batch)
        drift = (others - ref_others).mean().detach().clamp(min=0)
        ratios = own - ref
        good = 1 - torch.sigmoid(BETA * (ratios[: self.good] - drift))
        bad = 1 - torch.sigmoid(BETA * (drift - ratios[self.good :]))
        return torch.cat((good, bad)).nanmean()

    def _by_liger(self, model: PreTrainedModel, batch: dict[str, Any]) -> Any:
        outputs, weight = states.seen(model, batch)
        with reference.answering(model, self.beside, self.reference) as other:
            _ref_others = self._log_probs(other, batch, "KL_")
            other_outputs, other_weight = states.seen(other, batch)
        labels = batch["input_ids"][:, 1:].clone()
        labels[batch["completion_mask"][:, 1:] == 0] = -100
        own, theirs = outputs.last_hidden_state[:, :-1], other_outputs.last_hidden_state[:, :-1]
        scaled = states.scaled(self.setup.loop)
        with states.at_the_head(model, self.tracer):
            return liger.compared(own, weight, labels, theirs, other_weight, paired=False, scaled=scaled)

    def _both(self, model: PreTrainedModel, batch: dict[str, Any]) -> tuple[Any, Any]:
        """Log-probabilities of the answers, and what is held for the log until the loss is known."""
        if self.setup.loop.loss == "trl":
            return self._log_probs(model, batch, ""), None
        outputs = model(batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)
        logits = said(self.setup.loop, outputs).logits
        del outputs
        # ``completion_logits[chosen_idx, ...]`` and the rejected ones: copies by index, held beside the logits.
        held = [
            logits[torch.zeros(rows, dtype=torch.int64, device=logits.device)]
            for rows in (self.good, self.samples - self.good)
            if rows
        ]
        return self._of(logits, batch, ""), held

    def _log_probs(self, model: PreTrainedModel, batch: dict[str, Any], of: str) -> Any:
        ids, mask = batch[f"{of}input_ids"], batch[f"{of}attention_mask"]
        if self.setup.loop.loss == "trl":
            labels = ids.masked_fill(batch[f"{of}completion_mask"] == 0, -100)
            return model(input_ids=ids, attention_mask=mask, labels=labels, fused_lm_head=True)[0].sum(-1)
        outputs = said(self.setup.loop, model(input_ids=ids, attention_mask=mask, use_cache=False))
        return self._of(outputs.logits, batch, of)

    def _of(self, logits: torch.Tensor, batch: dict[str, Any], of: str) -> Any:
        labels = batch[f"{of}input_ids"][:, 1:].clone()
        mask = batch[f"{of}completion_mask"][:, 1:] != 0
        labels = torch.where(mask, labels, 0)
        return (selected(logits[:, :-1, :], labels) * mask).sum(-1)
