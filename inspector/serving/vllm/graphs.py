"""What vLLM sets apart for CUDA graphs before it has captured them, by what captures took in its logs.

Source: vLLM v1/worker/gpu_model_runner.py and v1/worker/gpu/cudagraph_utils.py (``profile_cudagraph_memory``: the first
captures are weighed on the card, and the others follow from them), config/compilation.py for the sizes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.serving.figures import Span, Term
from inspector.serving.measured import measured

if TYPE_CHECKING:
    from inspector.serving.vllm.settings import Resolved

LARGEST = 512
"""Tokens of the largest capture, where as many may be scheduled at once."""


def capture_sizes(rows: int, tokens: int) -> tuple[int, ...]:
    """Batches that are captured, of so many requests and tokens in a step at most."""
    most = min(2 * rows, LARGEST, tokens)
    return tuple(size for size in (1, 2, 4, *range(8, 256, 8), *range(256, LARGEST + 1, 16)) if size <= most)


def graphs_estimated(layers: int, resolved: Resolved, *, mixture: bool) -> Term:
    """The term of a rank with so many layers.

    The logs are of all sizes, so that fewer take from their part of the least to the most: the first is the dearest.
    """
    seen = measured("graphs_bytes_a_layer" if mixture else "graphs_dense_bytes_a_layer")
    part = len(capture_sizes(resolved.sequences, resolved.batched)) / len(capture_sizes(LARGEST, LARGEST))
    span = Span(*(int(layers * size) for size in (seen.low * part, seen.median * (1 + part) / 2, seen.high)))
    return Term("CUDA graphs, estimated", span, "range", seen.source, seen.logs)
