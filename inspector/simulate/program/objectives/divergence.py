"""The divergence of a student from its teacher, a token and a tile of both vocabularies at a time.

Source: trl/kernels/chunked_divergence.py, 1.16, ``ChunkedDivergenceFunction`` (``beta`` 1: the reverse divergence). The
Triton kernels that fold a tile allocate nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.simulate.program.autograd_context import Context

TOKENS, COLUMNS = 4096, 32768
"""``TOKEN_CHUNK_SIZE`` and ``VOCAB_CHUNK_SIZE``."""


class _Divergence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Context, own: torch.Tensor, weight: torch.Tensor, other: torch.Tensor, beside: torch.Tensor,
        dtype: torch.dtype,
    ) -> Any:  # fmt: skip
        def zeros() -> torch.Tensor:
            return torch.zeros((len(own),), device=own.device, dtype=torch.float32)

        # Nine numbers a token, whether this divergence has need of them or not.
        s_max, t_max = zeros() - torch.inf, zeros() - torch.inf
        s_sum, s_x_sum, t_sum, _gap, s_gap, _jsd, _kl = (zeros() for _ in range(7))
        buffers = _buffers(own)
        for _ in _tiles(own, weight, other, beside, buffers, dtype):
            pass
        s_log_z, t_log_z = s_max + torch.log(s_sum), t_max + torch.log(t_sum)
        entropy = s_log_z - s_x_sum / s_sum
        divergence = s_gap / s_sum - s_log_z + t_log_z
        ctx.save_for_backward(own, weight, other, beside, s_log_z, t_log_z, divergence)
        ctx.dtype = dtype
        return divergence, entropy

    @staticmethod
    def backward(ctx: Context, *_gradients: torch.Tensor) -> Any:
        own, weight, other, beside, *_kept = ctx.saved_tensors
        wide = [
            torch.zeros(of.shape, device=of.device, dtype=torch.float32) if needed else None
            for of, needed in zip((own, weight), ctx.needs_input_grad[:2], strict=True)
        ]
        # Buffers and the last tile are there until the gradients are narrow.
        buffers, narrow_tile = _buffers(own), None
        for tile in _tiles(own, weight, other, beside, buffers, ctx.dtype):
            narrow_tile = tile.to(ctx.dtype)  # its products are added to the gradients in place
        narrow = [None if each is None else each.to(of.dtype) for each, of in zip(wide, (own, weight), strict=True)]
        del narrow_tile
        return *narrow, None, None, None


def _buffers(own: torch.Tensor) -> list[torch.Tensor]:
    shape = min(len(own), TOKENS), COLUMNS
    return [torch.empty(shape, device=own.device, dtype=torch.float32) for _ in range(2)]


def _tiles(
    own: torch.Tensor, weight: torch.Tensor, other: torch.Tensor, beside: torch.Tensor, buffers: list[torch.Tensor],
    dtype: torch.dtype,
) -> Iterator[torch.Tensor]:  # fmt: skip
    for first in range(0, len(own), TOKENS):
        parts = [each[first : first + TOKENS].to(dtype) for each in (own, other)]
        for start in range(0, len(weight), COLUMNS):
            heads = [each[start : start + COLUMNS] for each in (weight, beside)]
            for part, head, buffer in zip(parts, heads, buffers, strict=True):
                # A product of 16 bits goes into 32 by itself: only where it does is told here.
                room = buffer.view(dtype)[: len(part), : len(head)]
                torch.mm(part, head.to(dtype).t(), out=room)
            yield buffers[0][: len(parts[0]), : len(heads[0])]


def divergence(
    own: torch.Tensor, weight: torch.Tensor, other: torch.Tensor, beside: torch.Tensor, dtype: torch.dtype
) -> Any:
    """Of each token, and its entropy, shape (tokens,).

    Args:
        own: what the student's head sees, (tokens, hidden).
        weight: the student's head, (vocabulary, hidden).
        other: what the teacher's head sees.
        beside: the teacher's head.
        dtype: what products are made in.
    """
    return _Divergence.apply(own, weight, other, beside, dtype)
