"""Beams of an answer: the tensors of transformers' beam search, by its own functions, and the next token of each.

Source: transformers/generation/utils.py, ``GenerationMixin._beam_search``, in its order; what it asks of tokens without
data (has a sentence ended?) is never yes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Beams:
    """The running and the best sequences of a batch, as long as prompt and answer will be.

    Args:
        model: the model that answers.
        ids: what every beam begins with, those of a prompt one after another: ``batch * beams`` rows.
        beams: of each prompt.
        new: tokens of an answer.
    """

    def __init__(self, model: PreTrainedModel, ids: torch.Tensor, beams: int, new: int) -> None:
        self.model: Any = model
        self.beams, self.begun, self.length = beams, ids.shape[1], ids.shape[1]
        self.rows, device = ids.shape[0] // beams, ids.device
        self.kept = max(2, 1 + _end_tokens(model)) * beams
        self.first = torch.ones((self.kept,), dtype=torch.bool, device=device)
        shape = (self.rows, beams)
        self.running = torch.empty((*shape, self.begun + new), dtype=torch.int64, device=device)
        self.best = self.running.clone()
        self.running_scores = torch.zeros(shape, device=device)
        self.best_scores = torch.zeros(shape, device=device)
        self.ended = torch.zeros(shape, dtype=torch.bool, device=device)
        self.open = torch.ones((self.rows, 1), dtype=torch.bool, device=device)
        self.running_indices = torch.empty((*shape, new), dtype=torch.int32, device=device)
        self.best_indices = self.running_indices.clone()
        self.logits: Any = None
        self.likely: Any = None
        self.hits: Any = None
        self.top: Any = None

    @property
    def ids(self) -> Any:
        """What the model is asked next: every beam so far, as rows."""
        return self.model._flatten_beam_dim(self.running[:, :, : self.length])

    def step(self, logits: torch.Tensor) -> Any:
        """The next token of every beam from float32 logits; returns which beam each continues, as rows of the cache."""
        model, at = self.model, {"num_beams": self.beams, "batch_size": self.rows}
        # What a step makes is there until the next one has made its own: through the forward between them.
        self.logits = logits
        self.likely = torch.nn.functional.log_softmax(logits, dim=-1)
        self.likely = model._unflatten_beam_dim(self.likely, self.rows, self.beams)
        self.likely = self.likely + self.running_scores[:, :, None]
        self.likely = torch.reshape(self.likely, (self.rows, -1))
        self.top = model._get_top_k_continuations(
            accumulated_log_probs=self.likely, running_sequences=self.running,
            running_beam_indices=self.running_indices, cur_len=self.length, decoder_prompt_len=self.begun,
            do_sample=False, beams_to_keep=self.kept, **at,
        )  # fmt: skip
        top, sequences, indices = self.top
        self.hits = hits = torch.zeros((self.rows, self.kept), dtype=torch.bool, device=logits.device)
        self.running, self.running_scores, self.running_indices = model._get_running_beams_for_next_iteration(
            topk_log_probs=top, topk_running_sequences=sequences, topk_running_beam_indices=indices,
            next_token_hits_stopping_criteria=hits, num_beams=self.beams,
        )  # fmt: skip
        penalty = model.generation_config.length_penalty
        self.best, self.best_scores, self.best_indices, self.ended = model._update_finished_beams(
            sequences=self.best, topk_running_sequences=sequences, beam_scores=self.best_scores, topk_log_probs=top,
            beam_indices=self.best_indices, topk_running_beam_indices=indices,
            is_early_stop_heuristic_unsatisfied=self.open, is_sent_finished=self.ended,
            next_token_hits_stopping_criteria=hits, top_num_beam_mask=self.first, num_beams=self.beams,
            cur_len=self.length, decoder_prompt_len=self.begun,
            length_penalty=1.0 if penalty is None else penalty, early_stopping=False,
        )  # fmt: skip
        # Before the length counts the new token, as there.
        return model._flatten_beam_dim(self.running_indices[..., self.length - self.begun])


def _end_tokens(model: PreTrainedModel) -> int:
    ends = getattr(model.generation_config, "eos_token_id", None)
    return len(ends) if isinstance(ends, list) else int(ends is not None)
