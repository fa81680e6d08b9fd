"""PPO: answers of the policy, scored by a reward model, valued by a value model, and trained on with both.

Source: trl/experimental/ppo/ppo_trainer.py, 1.12, the last release that has it: ``train``. A generation is trained on
in one step here; that there are ``num_ppo_epochs`` of them changes no peak. The trainer drops neither the logits that
it generated before the next ones are there, nor what a forward gave before the step is done: nor are they here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from inspector.memory_kinds import MemoryKind
from inspector.simulate.program.objectives import reference
from inspector.simulate.program.objectives.classes import scoring
from inspector.simulate.program.objectives.log_probs import selected
from inspector.simulate.program.objectives.policy_and_value import PolicyAndValue, said_of, scores_of
from inspector.simulate.program.objectives.rollout import generate_with_scores
from inspector.simulate.program.objectives.scorer import Scorer
from inspector.sources.resolve import resolve_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.program.looks import Input
    from inspector.simulate.setup.training import TrainSetup
    from inspector.simulate.tracing.tracer import Tracer

PADDING, TEMPERATURE, GAMMA, LAMBDA, CLIP, VALUE_WEIGHT = 0, 0.7, 1.0, 0.95, 0.2, 0.1
AT_ONCE = 64
"""``local_rollout_forward_batch_size``."""


class ProximalPolicy:
    """A micro-batch of n answers; those of a step are generated at once."""

    def __init__(self, setup: TrainSetup) -> None:
        assert setup.objective is not None
        self.setup, self.asked = setup, setup.objective
        self.reference = self.asked.reference_of(adapted=setup.adapters is not None)
        self.answers, self.length = setup.batch.size, setup.batch.seq_len
        self.prompt, self.per_step = self.asked.prompt_len, setup.loop.grad_accum
        self.beside: PreTrainedModel | None = None
        self.number = 0
        self.logits: Any = None
        self.rollout: dict[str, Any] = {}
        self.held: dict[str, Any] = {}
        self.pending = False
        self.likely: torch.Tensor | None = None
        self.entropy: torch.Tensor | None = None

    def inputs(self) -> dict[str, Input]:
        """Prompts alone come as a batch, of a whole generation."""
        return {}

    def prepare(self, model: PreTrainedModel, config: Mapping[str, Any], tracer: Tracer) -> list[tuple[str, nn.Module]]:
        """The value model, which trains; then the reference model, where it is one of its own, and the reward model."""
        self.tracer = tracer
        judge = scoring(resolve_config(self.asked.reward_model))
        # What packs the policy's weights is not told to these: packed weights do not train.
        plain = replace(self.setup.load, quantization=None)
        value = reference.load_beside(judge, plain, tracer, path="value", kind=MemoryKind.BASE_WEIGHTS)
        for parameter in value.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        self.both = PolicyAndValue(model, value.train())
        found = reference.called_beside(value, "value")
        if self.reference == "copy":
            self.beside = reference.load_beside(config, self.setup.load, tracer)
            found += reference.called_beside(self.beside)
        self.scorer = Scorer(self.asked.reward_model, plain, tracer)
        return found + self.scorer.named()

    def trained(self) -> PolicyAndValue:
        """What a step trains."""
        return self.both

    def begin(self, _model: nn.Module, step: int) -> None:
        """Before a micro-batch: answers are made where those of the last step are used up."""
        self._figures()
        if self.number % self.per_step == 0:
            self.tracer.mark("generation", step, reset=True)
            with torch.no_grad():
                self._generate()
        self.number += 1

    def end(self) -> None:
        """After a step: figures of its last micro-batch, and all that it gave is let go."""
        self._figures()
        self.held, self.likely, self.entropy = {}, None, None
        self.tracer.empty_cache()
        self.rollout = {}

    def _generate(self) -> None:
        count, answered = self.answers * self.per_step, self.length - self.prompt
        queries = torch.empty((count, self.prompt), dtype=torch.int64, device="meta")
        # Bound only when the new ones are there: those of the last generation stand beside them until then.
        self.logits = generate_with_scores(self.both.policy, self.setup, self.tracer, count, TEMPERATURE)
        ids = torch.cat((queries, torch.empty((count, answered), dtype=torch.int64, device="meta")), dim=1)
        parts: dict[str, list[Any]] = {name: [] for name in ("old", "ref", "ends", "scores", "values")}
        for first in range(0, count, AT_ONCE):
            part = ids[first : first + AT_ONCE]
            self._judge(part, self.logits[first : first + AT_ONCE], parts)
        made = {name: torch.cat(each, 0) for name, each in parts.items()}
        del parts
        self.tracer.empty_cache()
        self.rollout = {"ids": ids, "answers": ids[:, self.prompt :], **self._advantages(made, answered)}
        self.tracer.empty_cache()

    def _judge(self, ids: torch.Tensor, logits: torch.Tensor, parts: dict[str, list[Any]]) -> None:
        """What is known of some answers: log-probabilities, the reference's, values and scores."""
        answers = ids[:, self.prompt :]
        parts["old"].append(selected(logits, answers))
        with reference.answering(self.both.policy, self.beside, self.reference) as other:
            said = said_of(other, ids, PADDING)
        theirs = said.logits[:, self.prompt - 1 : -1]
        theirs /= TEMPERATURE
        parts["ref"].append(selected(theirs, answers))
        del said, theirs
        self.tracer.empty_cache()
        whole = torch.cat((ids[:, : self.prompt], answers), 1)
        parts["ends"].append(_first(answers == PADDING) - 1)
        values = scores_of(self.both.value_model, ids, PADDING)
        parts["values"].append(values[:, self.prompt - 1 : -1].squeeze(-1))
        scores = scores_of(self.scorer.model, whole, PADDING)
        last = _first(whole[:, self.prompt :] == PADDING) - 1 + self.prompt
        parts["scores"].append(scores[torch.arange(len(scores), device="meta"), last].squeeze(-1))

    def _advantages(self, made: dict[str, Any], answered: int) -> dict[str, Any]:
        places = torch.arange(answered, device="meta").repeat(len(made["old"]), 1)
        padded, after = places > made["ends"].unsqueeze(1), places > (made["ends"] + 1).unsqueeze(1)
        old, ref = (torch.masked_fill(made[name], padded, 1.0) for name in ("old", "ref"))
        values = torch.masked_fill(made["values"], after, 0)
        drift = old - ref
        rewards = (-0.05 * drift).clone()
        late: Any = 0.0
        found: list[torch.Tensor] = []
        for place in reversed(range(answered)):
            following = values[:, place + 1] if place < answered - 1 else 0.0
            late = rewards[:, place] + GAMMA * following - values[:, place] + GAMMA * LAMBDA * late
            found.append(late)
        advantages = torch.stack(found[::-1], dim=1)
        returns = advantages + values
        advantages = torch.masked_fill(_whitened(advantages, ~padded), padded, 0)
        return {
            "old": old, "ref": ref, "values": values, "padded": padded, "after": after, "advantages": advantages,
            "returns": returns, "rewards": rewards, "drift": drift, "scores": made["scores"], "places": places,
            "each": found,  # its loop holds every token's own
        }  # fmt: skip

    def loss(self, model: PreTrainedModel, _batch: dict[str, Any]) -> torch.Tensor:
        """The loss of one micro-batch; what its forward gave stays until the next one has been."""
        rows = torch.empty((self.answers,), dtype=torch.int64, device="meta")
        names = ("advantages", "answers", "ids", "old", "returns", "values")
        own = {name: self.rollout[name][rows] for name in names}
        said, guesses = said_of(model, own["ids"], PADDING)
        logits = said.logits[:, self.prompt - 1 : -1]
        logits /= TEMPERATURE
        new = torch.masked_fill(selected(logits, own["answers"]), self.rollout["padded"][rows], 1.0)
        guess = torch.masked_fill(guesses[:, self.prompt - 1 : -1].squeeze(-1), self.rollout["after"][rows], 0)
        near = torch.clamp(guess, own["values"] - CLIP, own["values"] + CLIP)
        far = [torch.square(each - own["returns"]) for each in (guess, near)]
        value_loss = 0.5 * _mean(torch.max(*far), ~self.rollout["after"][rows])
        apart = new - own["old"]
        ratio = torch.exp(apart)
        gains = [-own["advantages"] * each for each in (ratio, torch.clamp(ratio, 1 - CLIP, 1 + CLIP))]
        loss: torch.Tensor = _mean(torch.max(*gains), ~self.rollout["padded"][rows]) + VALUE_WEIGHT * value_loss
        self.held = {
            "said": said, "guesses": guesses, "logits": logits, "new": new, "guess": guess, "near": near, "far": far,
            "apart": apart, "ratio": ratio, "gains": gains, **own,
        }  # fmt: skip
        self.pending = True
        return loss

    def _figures(self) -> None:
        """The entropy of what a micro-batch said, for the log: two tensors more of the size of its logits."""
        if self.pending:
            with torch.no_grad():
                logits = self.held["logits"]
                # Those of the micro-batch before stay until these are there.
                self.likely = torch.nn.functional.softmax(logits, dim=-1)
                self.entropy = torch.logsumexp(logits, dim=-1) - torch.sum(self.likely * logits, dim=-1)
            self.pending = False


def _first(true: torch.Tensor) -> torch.Tensor:
    """Source: trl/experimental/utils.py, 1.12, ``first_true_indices``."""
    length = true.size(-1)
    found: torch.Tensor = torch.min(length * (~true).type(torch.long) + torch.arange(length, device="meta"), -1).values
    return found


def _mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (values * mask).sum() / mask.sum()


def _whitened(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    mean = _mean(values, mask)
    spread = _mean(torch.square(values - mean), mask)
    return (values - mean) * torch.rsqrt(spread + 1e-8)
