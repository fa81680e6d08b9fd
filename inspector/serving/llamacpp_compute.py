"""llama.cpp's compute buffer: the worst graph, a full micro-batch against the full cache.

Read off the engine's own answers (llama.cpp of 2026-10 through xllamacpp) for headers of Llama 3.1 8B, Gemma 3 12B,
Qwen3 30B-A3B, gpt-oss-20b and DeepSeek-V2-Lite, which it meets to the MiB: with flash attention no scores are kept, so
that a feed-forward's products and five streams are the most, beside the mask in 16 bits. ``make serving-llamacpp`` asks
again about every bundled architecture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.serving.figures import Span
from inspector.units import MiB

if TYPE_CHECKING:
    from inspector.serving.llamacpp_kv import Cells
    from inspector.skeleton import ConfigFacts

STREAMS = 5
PLAIN = frozenset({"gpt2", "gpt_neox", "bloom", "opt", "falcon", "phi", "gptj", "mpt", "gpt_bigcode", "starcoder2"})
"""Families whose feed-forward has no gate: its two products and one stream (phi and falcon: two) are the most."""
BEFORE = 7000
"""Builds below it reserved logits of every token of the micro-batch on the card that has the output."""


def with_flash(facts: ConfigFacts, cells: Cells, ubatch: int, expert: int, *, normalized: bool = False) -> int:
    """Bytes with flash attention: the widest place of a layer, and a mask of one stream for each sort of cache.

    ``expert`` is the inner width of an expert, ``normalized`` whether the weights of those chosen are made to add up to
    one, which keeps their products twice.
    """
    hidden, inner = facts.hidden_size, facts.intermediate_size
    gated = 3 * inner + STREAMS * hidden
    if facts.model_type in PLAIN:
        gated = 2 * inner + (2 if facts.model_type in {"phi", "falcon"} else 1) * hidden
    wide = gated
    if facts.num_experts:
        routed, size = facts.experts_per_token, expert or inner
        wide = 3 * routed * size + STREAMS * hidden
        if normalized:
            wide = max(wide, routed * size + 2 * routed * hidden + 3 * hidden)
        if facts.model_type.startswith("deepseek"):  # its first layers are dense, and wider
            wide = max(wide, gated)
    return 4 * ubatch * wide + 2 * ubatch * (cells.full + cells.window) // cells.streams


def without_flash(facts: ConfigFacts, cells: Cells, ubatch: int, *, host: bool = False) -> int:
    """Bytes where scores are kept: exact in logs of Llama and Qwen3, on the ``host`` with its inputs, and on Metal."""
    heads = facts.num_attention_heads
    wide = cells.full * (1 + heads) + 2 * facts.hidden_size + 2 * heads * facts.head_dim
    return 4 * ubatch * wide + (MiB // 100 if host else 0)


def compute(
    facts: ConfigFacts, cells: Cells, ubatch: int, *, flash: bool, build: int, expert: int, normalized: bool = False
) -> Span:
    """The buffer as a range: exact without flash attention on one device; with it, logits in older builds."""
    ubatch = min(ubatch, max(cells.full, 1))
    if not flash:
        value = without_flash(facts, cells, ubatch)
        return Span(value, value, int(value * 1.07))  # what CUDA's kernels take beside it, in one log
    value = with_flash(facts, cells, ubatch, expert, normalized=normalized)
    logits = 4 * ubatch * (facts.hidden_size + facts.vocab_size)
    if build < BEFORE:
        return Span(max(value, logits), max(value, logits), int(1.1 * max(value, logits)))
    return Span(value, value, max(value, logits))
