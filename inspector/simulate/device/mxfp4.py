"""MXFP4 products of routed tokens as the hub's kernels make them: what they choose by the card, and what they allocate.

Source: huggingface/kernels-community of August 2026, gpt-oss-triton-kernels, version 1 (which transformers 5.23
asks for, integrations/mxfp4.py): routing.py, topk.py, matmul_ogs.py and their details. How tokens spread over experts
changes none of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from inspector.simulate.device.questions import Chip, Device

BLOCK = 32
"""Values that share a scale (OCP Microscaling Formats, MXFP4)."""


def has_mxfp4(chip: Chip, /) -> bool:
    """Whether transformers keeps the format. Source: quantizers/quantizer_mxfp4.py, ``validate_environment``."""
    return chip.capability >= (7, 5)


def swizzles_values(chip: Chip, /) -> bool:
    """Whether blocks are laid out anew on loading. Source: layout.py, ``make_default_matmul_mxfp4_w_layout``."""
    return (9, 0) <= chip.capability < (10, 0)


def parts_of_a_product(chip: Chip, routes: int, inputs: int, outputs: int, experts: int, /) -> int:
    """How many parts a product is summed from, each of them kept in float32; 1 where it is made at once.

    Source: opt_flags.py, ``make_default_opt_flags_nvidia``, and opt_flags_nvidia.py.

    Args:
        chip: the card.
        routes: rows, one for each token and each expert it goes to.
        inputs: columns of the activations.
        outputs: columns of the result, before gate and up are made one.
        experts: how many there are.
    """
    major, native = chip.capability[0], chip.capability >= (10, 0)
    rows = max(64 if major == 10 else 16, min(_power_of_two(max(1, routes // experts)), 128))
    columns = 256 if outputs > 128 else max(16, min(128, _power_of_two(outputs)))
    across = -(-outputs // columns)
    # A persistent kernel sums nothing up; TMA wants rows of scales, and of their bytes, that are aligned.
    aligned = native and inputs % 1024 == 0 and inputs * outputs % 64 == 0
    if aligned and _blocks(routes, experts, rows) * across / chip.multiprocessors >= 2:
        return 1
    deep = max(32, min(_power_of_two(inputs), 256)) if native else 128
    spare = chip.multiprocessors // (-(-routes // rows) * across)
    return max(min(spare, -(-inputs // deep) // 4), 1)


def _power_of_two(number: int) -> int:
    return 1 << max(number - 1, 0).bit_length()


def _blocks(routes: int, experts: int, rows: int) -> int:
    """``RoutingData.n_blocks``: as many tiles as there can be."""
    return routes if routes <= experts else -(-max(routes - experts + 1, 0) // rows) + experts - 1


@dataclass(frozen=True)
class Routes:
    """Where tokens go, as long as their products are made: what a ``RoutingData`` and its indices hold on to."""

    count: int
    experts: int
    kept: tuple[torch.Tensor, ...]


def routing(logits: torch.Tensor, top_k: int) -> Routes:
    """``routing``: the chosen experts of each token (``topk``), then tokens sorted by expert (``SortTokens``)."""
    tokens, experts = logits.shape
    count = tokens * top_k

    def integers(*shape: int, dtype: torch.dtype = torch.int32) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device=logits.device)

    # Of the chosen and of the matrix of bits nothing is left when tokens are sorted.
    values = torch.empty((tokens, top_k), dtype=logits.dtype, device=logits.device)
    chosen = integers(tokens, top_k, dtype=torch.int16)
    words = -(-experts // 32)
    bits = integers(words, -(-tokens // 32) * 32)
    histogram = integers(-(-experts // 128) * 128)
    partial = integers(words * 32, -(-tokens // 128) * 4)
    offsets = integers(experts)
    combined = integers(count * 2)
    weights = torch.empty((count,), dtype=logits.dtype, device=logits.device)
    # For tiles of 16, 32, 64 and 128 rows.
    starts = integers(5, _padded(experts + 1))
    tiles = integers(4, _padded(count if count <= experts else experts - 1 - (experts - count - 1) // 16))
    del values, chosen, bits, partial, offsets
    return Routes(count, experts, (weights, histogram, combined, starts, tiles))


def _padded(number: int) -> int:
    return -(-number // 512) * 512


def gated(device: Device, x: torch.Tensor, routes: Routes, outputs: int) -> torch.Tensor:
    """``matmul_ogs`` of gathered tokens with a fused activation: half of ``outputs`` for each route.

    Args:
        device: the card that is asked.
        x: tokens by inputs.
        routes: where they go.
        outputs: columns of gate and up.
    """
    parts = device.ask(parts_of_a_product, routes.count, x.shape[1], outputs, routes.experts)
    out = torch.empty((1, routes.count, outputs // 2), dtype=x.dtype, device=x.device)
    if parts > 1:
        sums = torch.empty((parts, 1, routes.count, outputs), dtype=torch.float32, device=x.device)
        del sums
    return out.view(routes.count, outputs // 2)


def scattered(device: Device, x: torch.Tensor, routes: Routes, outputs: int, top_k: int) -> torch.Tensor:
    """``matmul_ogs`` whose rows are added up for each token: (tokens, outputs).

    Made at once, the rows of all routes lie behind the result in one tensor, and live as long as that one.
    """
    parts = device.ask(parts_of_a_product, routes.count, x.shape[1], outputs, routes.experts)
    tokens = routes.count // top_k
    fused = parts == 1 and top_k > 1
    out = torch.empty((1, tokens + (routes.count if fused else 0), outputs), dtype=x.dtype, device=x.device)
    if fused:
        back = torch.zeros((routes.count,), dtype=torch.int32, device=x.device)
        finals = torch.zeros((tokens + routes.count + 1,), dtype=torch.int32, device=x.device)
        del back, finals
    elif parts > 1:
        sums = torch.empty((parts, 1, routes.count, outputs), dtype=torch.float32, device=x.device)
        del sums
    return out[0, :tokens]


def laid_out_for_hopper(blocks: torch.Tensor) -> torch.Tensor:
    """Blocks as Hopper's kernel reads them: the values of a thread beside each other, and their bits in turns.

    Source: tensor_details/layout_details/hopper_value.py, ``swizzle_data`` and ``_pack_bits``.

    Args:
        blocks: (experts, outputs, inputs / 2), bytes.
    """
    experts, rows, columns = blocks.shape
    whole = (experts, -(-rows // 16) * 16, -(-columns // 32) * 32)
    # Padding copies, even where there is nothing to pad; so does the permutation.
    padded = torch.empty(whole, dtype=torch.uint8, device=blocks.device)
    permuted = torch.empty_like(padded)
    del padded
    fours = permuted.view(experts, whole[1], whole[2] // 4, 4)

    def compressed(byte: torch.Tensor) -> torch.Tensor:
        byte = byte.to(torch.int32)
        return ((byte & 8) << 12) | ((byte & 7) << 6)

    def spread(byte: torch.Tensor) -> torch.Tensor:
        byte = byte.to(torch.int32)
        return ((byte & 8) << 11) | ((byte & 6) << 9) | ((byte & 1) << 13)

    first, second, third = (
        compressed(fours[..., place]) | (compressed(fours[..., place] >> 4) << 16) for place in range(3)
    )
    fourth = spread(fours[..., 3]) | (spread(fours[..., 3] >> 4) << 16)
    packed = first | ((second >> 3) & 1) | ((third >> 6) & 1) | fourth
    return packed.view(torch.uint8)
