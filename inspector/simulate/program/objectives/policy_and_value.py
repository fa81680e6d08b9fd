"""The policy and its value model as PPO trains them: one module, both in full but for the policy's adapters.

Source: trl/experimental/ppo/ppo_trainer.py, 1.12, ``PolicyAndValueWrapper``, ``forward`` and ``get_reward``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from inspector.simulate.program.objectives.reference import named_beside

if TYPE_CHECKING:
    from transformers import PreTrainedModel

POLICY, VALUE = "policy", "value_model"


class PolicyAndValue(nn.Module):
    """What a step trains; a forward gives what the policy says, and a value for each token."""

    def __init__(self, policy: PreTrainedModel, value: PreTrainedModel) -> None:
        super().__init__()
        self.policy, self.value_model = policy, value

    def forward(self, **given: Any) -> Any:
        """The value model without its head first, as there."""
        seen = getattr(self.value_model, self.value_model.base_model_prefix)(**given)
        values = self.value_model.score(seen.hidden_states[-1])
        return self.policy(**given), values


def own_name(name: str) -> str:
    """A weight's path as it was before the two were one; layers of the value model are none of the policy's."""
    owner, _, rest = name.partition(".")
    return rest if owner == POLICY else named_beside("value", rest) if owner == VALUE else name


def said_of(model: nn.Module, ids: torch.Tensor, padding: int) -> Any:
    """A forward on prompts and answers, with every layer's hidden states."""
    return model(**_given(ids, padding), return_dict=True, output_hidden_states=True)


def scores_of(model: PreTrainedModel, ids: torch.Tensor, padding: int) -> Any:
    """A score for each token, by the backbone and its head."""
    backbone = getattr(model, model.base_model_prefix)
    seen = backbone(**_given(ids, padding), return_dict=True, output_hidden_states=True, use_cache=False)
    head: Any = model.score
    return head(seen.hidden_states[-1])


def _given(ids: torch.Tensor, padding: int) -> dict[str, torch.Tensor]:
    mask = ids != padding
    positions = mask.cumsum(1) - mask.long()
    return {"input_ids": torch.masked_fill(ids, ~mask, 0), "attention_mask": mask, "position_ids": positions}
