"""A stack of encoder blocks as examples of training libraries build it from PyTorch's own layers, by its sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from inspector.simulate.setup.engine_words import EncoderSizes


class EncoderStack(nn.Module):
    """Embeddings of tokens and positions, blocks with the norm behind each part, a projection to the vocabulary."""

    def __init__(self, sizes: EncoderSizes, keep: Any = None) -> None:
        super().__init__()
        self.keep = keep
        self.tokens = nn.Embedding(sizes.vocab, sizes.hidden)
        self.positions = nn.Embedding(sizes.max_positions, sizes.hidden)
        self.blocks = nn.ModuleList(EncoderBlock(sizes) for _ in range(sizes.layers))
        self.out = nn.Linear(sizes.hidden, sizes.vocab)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Logits, batch x positions x vocabulary."""
        places = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0).expand(ids.shape[0], -1)
        hidden = self.tokens(ids) + self.positions(places)
        for block in self.blocks:
            hidden = self.keep(block, hidden, use_reentrant=False) if self.keep else block(hidden)
        logits: torch.Tensor = self.out(hidden)
        return logits


class EncoderBlock(nn.Module):
    """Attention of PyTorch's own that hands its weights on, and a feed-forward of two layers, with biases."""

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(sizes.hidden, sizes.heads, batch_first=True)
        self.first, self.second = nn.LayerNorm(sizes.hidden), nn.LayerNorm(sizes.hidden)
        self.feed = nn.Sequential(nn.Linear(sizes.hidden, sizes.ff), nn.GELU(), nn.Linear(sizes.ff, sizes.hidden))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """The same shape."""
        # Its weights live until the attention's output has been used, as a script unpacks them.
        attended, _ = self.attention(hidden, hidden, hidden)
        hidden = self.first(hidden + attended)
        fed = self.feed(hidden)
        after: torch.Tensor = self.second(hidden + fed)
        return after


CHECKPOINT = checkpoint
"""PyTorch's, which a program with autocast takes through its own."""
