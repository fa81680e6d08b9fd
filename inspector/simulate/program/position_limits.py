"""Sequences longer than a model has positions for: shapes do not notice, a real step fails, or runs and is no use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.facts import language_config
from inspector.errors import CannotSimulateError
from inspector.simulate.program.looks import reads_tokens

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.tracing.tracer import Tracer

LEARNED = frozenset({"wpe", "embed_positions", "position_embeddings", "positions_embed"})
"""What transformers calls tables of learned positions, one row each: GPT-2, OPT and BART, BERT, the first GPT."""


def check_positions(model: PreTrainedModel, tokens: int, tracer: Tracer, target: int = 0) -> None:
    """Refuse, when the forward reads it, a table of positions that ends before; say so where nothing ends.

    Of an encoder-decoder, ``target`` is the decoder's tokens. What looks at images or sound has no such limit on them.

    Raises CannotSimulateError from the model's forward.
    """
    both = bool(getattr(model.config, "is_encoder_decoder", False))
    tokens = tokens if reads_tokens(model) else 0
    for path, module in model.named_modules():
        table = path.rpartition(".")[2] in LEARNED and isinstance(module, torch.nn.Embedding)
        wanted = target if both and "decoder" in path.split(".") else tokens
        if table and (rows := _rows(module)) < wanted:
            # Refused when it is read, and not before: a model may have a table that its text never goes through.
            module.register_forward_pre_hook(_refusal(type(model).__name__, rows, wanted))
    text = language_config(model.config)
    most = getattr(text, "max_position_embeddings", None)
    longest = max(tokens, target)
    if isinstance(most, int) and 0 < most < longest:
        tracer.notes.append(f"{longest:,} tokens are more than the {most:,} positions this model was made for")


def _rows(table: nn.Embedding) -> int:
    """Positions in a table; some begin after a few rows (``offset`` in modeling_opt.py, ``padding_idx`` in RoBERTa)."""
    skipped = getattr(table, "offset", 0) if table.padding_idx is None else table.padding_idx + 1
    return int(table.num_embeddings) - int(skipped)


def _refusal(model: str, rows: int, tokens: int) -> Any:
    def refuse(*_: object) -> None:
        raise CannotSimulateError(f"{model} has {rows:,} learned positions, too few for {tokens:,} tokens")

    return refuse
