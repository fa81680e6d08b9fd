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
    from inspector.serving.llamacpp.kv import Cells
    from inspector.skeleton import ConfigFacts

STREAMS = 5
PLAIN = frozenset({"gpt2", "gpt_neox", "bloom", "opt", "falcon", "phi", "gptj", "mpt", "gpt_bigcode", "starcoder2"})
"""Families whose feed-forward has no gate: its two products and one stream (phi and falcon: two) are the most."""
BESIDE = frozenset({"cohere2", "llama4", "llama4_text"})
"""Families that keep one stream more: attention beside the feed-forward, or a shared expert's."""
BEFORE = 7000
"""Builds below it reserved logits of every token of the micro-batch on the card that has the output."""


def with_flash(
    facts: ConfigFacts, cells: Cells, ubatch: int, expert: int, *, normalized: bool = False, latent: int = 0
) -> int:
    """Bytes with flash attention: the widest place of a layer, and a mask of one stream for each sort of cache.

    ``expert`` is the inner width of an expert, ``normalized`` whether the weights of those chosen are made to add up to
    one, which keeps their products twice; ``latent`` is the width of a head's queries against a latent, twice, and as
    they were.
    """
    hidden, inner = facts.hidden_size, facts.intermediate_size
    streams = STREAMS + (facts.model_type in BESIDE)
    gated = 3 * inner + streams * hidden
    if facts.model_type in PLAIN:
        gated = 2 * inner + (2 if facts.model_type in {"phi", "falcon"} else 1) * hidden
    wide = gated
    if facts.num_experts:
        routed, size = facts.experts_per_token, expert or inner
        wide = 3 * routed * size + streams * hidden
        if normalized:
            wide = max(wide, routed * size + 2 * routed * hidden + 3 * hidden)
        if facts.model_type.startswith("deepseek"):  # its first layers are dense, and wider
            wide = max(wide, gated)
    if latent:
        wide = max(wide, facts.num_attention_heads * latent + STREAMS * hidden)
    return 4 * ubatch * wide + 2 * ubatch * (cells.full + cells.window) // cells.streams


FUSED_BEFORE = {"gpt_neox": 6}
"""Streams of the hidden width beside the scores before that build, where queries, keys and values are one product that
is copied apart: of two logs of b4581, which the others' four do not meet."""
FUSED = {"gpt_neox": 7, "phi3": 7, "gpt2": 10, "bloom": 10, "falcon": 5}
"""The same since then, as the engine answers for headers of them."""
NORMED_AFTER = {"gemma2": 4, "gemma3_text": 4, "gemma3": 4, "olmo2": 2}
"""Streams of the hidden width where a norm follows the attention; three for all others."""


def without_flash(
    facts: ConfigFacts, cells: Cells, ubatch: int, *, build: int, host: bool = False, latent: int = 0
) -> int:
    """Bytes where scores are kept, beside their mask in 32 bits.

    Older builds: exact in logs of Llama, Qwen3 and GPT-NeoX, on the ``host`` with its inputs, on CUDA and on Metal.
    Since `BEFORE` as the engine answers, to the MiB for most.
    """
    heads, hidden, kind = facts.num_attention_heads, facts.hidden_size, facts.model_type
    queries = heads * facts.head_dim
    if build < BEFORE:
        beside = FUSED_BEFORE[kind] * hidden if kind in FUSED_BEFORE else 2 * hidden + 2 * queries
        return 4 * ubatch * (cells.full * (1 + heads) + beside) + (MiB // 100 if host else 0)
    beside = NORMED_AFTER.get(kind, 3) * hidden + 3 * queries + 2 * facts.num_key_value_heads * facts.head_dim
    if latent:
        beside = heads * latent + STREAMS * hidden
    if kind in FUSED:
        beside = FUSED[kind] * hidden
    return 4 * ubatch * (cells.full * (1 + heads) + cells.window + beside)


def compute(
    facts: ConfigFacts, cells: Cells, ubatch: int, *, flash: bool, build: int, expert: int, normalized: bool = False,
    latent: int = 0,
) -> Span:  # fmt: skip
    """The buffer as a range: exact without flash attention on one device; with it, logits in older builds."""
    ubatch = min(ubatch, max(cells.full, 1))
    value = with_flash(facts, cells, ubatch, expert, normalized=normalized, latent=latent)
    if not flash:
        scores = without_flash(facts, cells, ubatch, build=build, latent=latent)
        # A wide feed-forward may be more, with the mask in 32 bits.
        value = scores if build < BEFORE else max(scores, value + 2 * ubatch * (cells.full + cells.window))
        return Span(value, value, int(value * 1.07))  # what CUDA's kernels may take beside it
    logits = 4 * ubatch * (facts.hidden_size + facts.vocab_size)
    if build < BEFORE:
        return Span(max(value, logits), max(value, logits), int(1.1 * max(value, logits)))
    return Span(value, value, max(value, logits))
