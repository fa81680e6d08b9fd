"""The values a 4-bit number can mean: nf4's sixteen floats and int4's even steps."""

from __future__ import annotations

import random
from dataclasses import dataclass
from statistics import NormalDist

NF4_OFFSET = 0.9677083
"""Where bitsandbytes cuts the normal distribution's tail: ``create_normal_map(offset=...)`` in ``functional.py``."""

BLOCK = 64
BINS = 80  # 0.025 wide each: under a third of the smallest gap between values of nf4, 0.08


@dataclass(frozen=True)
class Levels:
    """The values of nf4 and int4 on a scale from -1 to 1, over weights scaled by the largest of their block.

    ``histogram`` counts ``weights`` normally distributed weights in ``BINS`` equal bins from -1 to 1, in blocks of 64.
    """

    nf4: tuple[float, ...]
    int4: tuple[float, ...]
    histogram: tuple[int, ...]
    weights: int


def nf4_values() -> tuple[float, ...]:
    """The sixteen nf4 values, by the rule bitsandbytes makes them: quantiles of a normal distribution, zero exact.

    Eight values are positive and seven negative; the largest is 1. ``create_normal_map`` in bitsandbytes
    ``functional.py``, after https://arxiv.org/abs/2305.14314, appendix E.
    """
    quantile = NormalDist().inv_cdf
    # Neither list goes on to 0.5, whose quantile is zero: zero is added below, once and exact.
    positive = [quantile(NF4_OFFSET + (0.5 - NF4_OFFSET) * step / 8) for step in range(8)]
    negative = [-quantile(NF4_OFFSET + (0.5 - NF4_OFFSET) * step / 7) for step in range(7)]
    return tuple(sorted(value / positive[0] for value in (*positive, 0.0, *negative)))


def int4_values() -> tuple[float, ...]:
    """Sixteen even steps, -8 to 7, scaled so that the largest magnitude is 1."""
    return tuple(step / 8 for step in range(-8, 8))


def levels(blocks: int = 1000) -> Levels:
    """The values, and how normally distributed weights lie among them, drawn with a fixed seed."""
    # Seeded, for a page that is written twice must be the same page.
    draw = random.Random(0)  # noqa: S311 -- a picture, no secret
    histogram = [0] * BINS
    for _ in range(blocks):
        block = [draw.gauss(0, 1) for _ in range(BLOCK)]
        largest = max(map(abs, block))
        for weight in block:
            # A block's largest weight lies at -1 or 1, and 1 is the end of the last bin, not the start of another.
            histogram[min(int((weight / largest + 1) / 2 * BINS), BINS - 1)] += 1
    return Levels(nf4_values(), int4_values(), tuple(histogram), blocks * BLOCK)
