"""ORPO, CPO and SimPO: pairs without a reference model, and the likelihood of the chosen answer beside their margin.

Sources: trl/experimental/orpo/orpo_trainer.py and trl/experimental/cpo/cpo_trainer.py, 1.16 (in 0.24
trl/trainer/orpo_trainer.py, cpo_trainer.py): ``concatenated_forward``, ``get_batch_logps`` and the losses. SimPO is CPO
with ``loss_type="simpo"`` and ``cpo_alpha=0``, as its authors train.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from inspector.simulate.program.around import said
from inspector.simulate.program.looks import Input
from inspector.simulate.program.objectives.log_probs import selected, selected_fused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.setup.training import TrainSetup
    from inspector.simulate.tracing.tracer import Tracer

BETA = 0.1


class WithoutReference:
    """A micro-batch of n pairs is 2 n sequences, put together on the card."""

    def __init__(self, setup: TrainSetup) -> None:
        assert setup.objective is not None
        self.setup, self.kind, self.prompt = setup, setup.objective.kind, setup.objective.prompt_len
        self.pairs, self.length = setup.batch.size, setup.batch.seq_len
        self.beside: PreTrainedModel | None = None

    def inputs(self) -> dict[str, Input]:
        """Source: ``DPODataCollatorWithPadding``: a prompt, and both texts whole with their labels."""
        text, prompt = Input((self.pairs, self.length)), Input((self.pairs, self.prompt))
        of = ("chosen", "rejected")
        found = {f"{each}_{name}": text for each in of for name in ("input_ids", "attention_mask", "labels")}
        if self.prompt:
            found |= {"prompt_input_ids": prompt, "prompt_attention_mask": prompt}
        return found

    def prepare(
        self, _model: PreTrainedModel, _config: Mapping[str, Any], _tracer: Tracer
    ) -> list[tuple[str, nn.Module]]:
        """Nothing stands beside the model."""
        return []

    def begin(self, *_given: object) -> None:
        """Nothing is made of a batch before its forward."""

    def loss(self, model: PreTrainedModel, batch: dict[str, Any]) -> torch.Tensor:
        """The loss of the pairs."""
        ids, mask, told = (
            torch.cat((batch[f"chosen_{name}"], batch[f"rejected_{name}"]))
            for name in ("input_ids", "attention_mask", "labels")
        )
        logits = said(self.setup.loop, model(ids, attention_mask=mask, use_cache=False)).logits
        labels = torch.where(mask == 1, ids.clone(), -100) if self.kind == "orpo" else told.clone()
        likely = None if self.kind == "simpo" else self._likelihood(logits[: self.pairs], labels[: self.pairs])
        found = self._log_probs(logits, told)
        chosen, rejected = found[: self.pairs], found[self.pairs :]
        if self.kind == "orpo":
            chosen, rejected = chosen.float(), rejected.float()
            odds = (chosen - rejected) - (_log1mexp(chosen) - _log1mexp(rejected))
            assert likely is not None
            loss: torch.Tensor = likely - (BETA * functional.logsigmoid(odds)).mean()
            return loss
        margin = BETA * (chosen - rejected)
        # ``label_smoothing`` is 0, and both sides are computed.
        losses = -functional.logsigmoid(margin) * 1.0 - functional.logsigmoid(-margin) * 0.0
        return losses.mean() if likely is None else losses.mean() + likely

    def _likelihood(self, logits: torch.Tensor, labels: torch.Tensor) -> Any:
        """Cross-entropy of the chosen texts, of a copy of their logits."""
        logits, labels = logits[..., :-1, :].contiguous(), labels[..., 1:].contiguous()
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), labels.view(-1))

    def _log_probs(self, logits: torch.Tensor, told: torch.Tensor) -> Any:
        labels = told[:, 1:].clone()
        mask = labels != -100
        labels = torch.where(labels == -100, 0, labels)
        of = selected_fused if self.setup.loop.loss == "trl" else selected
        found = of(logits[:, :-1, :], labels)
        if self.kind == "cpo":
            return (found * mask).sum(-1)
        return (found * mask).sum(-1) / mask.sum(-1)


def _log1mexp(x: torch.Tensor) -> torch.Tensor:
    """Source: trl/experimental/utils.py, 1.16, ``log1mexp``."""
    return torch.where(x > -0.6931471805599453, torch.log(-torch.expm1(x)), torch.log1p(-torch.exp(x)))
