"""llama.cpp's compute buffer: the worst graph, a full micro-batch against the full cache.

Read off the engine's own answers (llama.cpp of 2026-10 through xllamacpp) for headers of Llama 3.1 8B, Gemma 3 12B,
Qwen3 30B-A3B, gpt-oss-20b and DeepSeek-V2-Lite, which it meets to the MiB: with flash attention no scores are kept, so
that a feed-forward's products and five streams are the most, beside the mask in 16 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.serving.figures import Span
from inspector.units import MiB

if TYPE_CHECKING:
    from inspector.serving.llamacpp_kv import Cells
    from inspector.skeleton import ConfigFacts

STREAMS = 5
BEFORE = 7000
"""Builds below it reserved logits of every token of the micro-batch on the card that has the output."""


def with_flash(facts: ConfigFacts, cells: Cells, ubatch: int, expert: int) -> int:
    """Bytes with flash attention: the widest place of a layer, and a mask for each sort of cache."""
    hidden = facts.hidden_size
    wide = 3 * facts.intermediate_size + STREAMS * hidden if not facts.num_experts or not expert else 0
    if facts.num_experts:
        routed, size = facts.experts_per_token, expert or facts.intermediate_size
        dense = 3 * facts.intermediate_size if expert and facts.model_type.startswith("deepseek") else 0
        wide = max(
            3 * routed * size + STREAMS * hidden, routed * size + 2 * routed * hidden + 3 * hidden,
            dense + STREAMS * hidden if dense else 0,
        )  # fmt: skip
    masks = 2 * ubatch * (cells.full + cells.window)
    return 4 * ubatch * wide + masks


def without_flash(facts: ConfigFacts, cells: Cells, ubatch: int, *, host: bool = False) -> int:
    """Bytes where scores are kept: exact in logs of Llama and Qwen3, on the ``host`` with its inputs, and on Metal."""
    heads = facts.num_attention_heads
    wide = cells.full * (1 + heads) + 2 * facts.hidden_size + 2 * heads * facts.head_dim
    return 4 * ubatch * wide + (MiB // 100 if host else 0)


def compute(facts: ConfigFacts, cells: Cells, ubatch: int, *, flash: bool, build: int, expert: int) -> Span:
    """The buffer as a range: exact without flash attention on one device; with it, logits in older builds."""
    ubatch = min(ubatch, max(cells.full, 1))
    if not flash:
        value = without_flash(facts, cells, ubatch)
        return Span(value, value, int(value * 1.07))  # what CUDA's kernels take beside it, in one log
    value = with_flash(facts, cells, ubatch, expert)
    logits = 4 * ubatch * (facts.hidden_size + facts.vocab_size)
    if build < BEFORE:
        return Span(max(value, logits), max(value, logits), int(1.1 * max(value, logits)))
    return Span(value, value, max(value, logits))
