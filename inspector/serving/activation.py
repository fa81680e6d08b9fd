"""The activation peak of vLLM's profile run: one forward of a full step, then a sampler's rows; the larger counts.

Source: vLLM v1/worker/gpu_model_runner.py (``profile_run``, ``_dummy_sampler_run``) and worker/model_runner.py of V0.
The forward's peak is where the gated product is made beside four streams of the hidden width: 0.9062 GiB of Llama 3.1
8B at 8192 tokens, which the real runner takes too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.serving.figures import Span, Term
from inspector.serving.measured import measured

if TYPE_CHECKING:
    from inspector.serving.versions import Runner
    from inspector.skeleton import ConfigFacts

STREAMS = 4
"""Tensors of the hidden width alive beside the gated product: residual, its sum, the norm's output, the embedding."""
CHUNK = 32768
"""Tokens whose experts are multiplied at once (``VLLM_FUSED_MOE_CHUNK_SIZE``)."""


def forward_bytes(facts: ConfigFacts, tokens: int, width: int, experts_on: int = 1, expert_size: int = 0) -> int:
    """The most a forward of so many tokens has alive on a rank, in 16 bits."""
    streams = STREAMS * tokens * facts.hidden_size * 2
    dense = 3 * tokens * facts.intermediate_size // width * 2
    if not facts.num_experts:
        return streams + dense
    routed = min(tokens, CHUNK) * facts.experts_per_token
    size = (expert_size or facts.intermediate_size) // (1 if experts_on > 1 else width)
    # ``intermediate_cache13`` is shared by the first and the last product (fused_moe.py).
    experts = routed * (max(2 * size, facts.hidden_size) + size) * 2
    return streams + max(experts, 0 if expert_size else dense)


@dataclass(frozen=True, slots=True)
class ProfileRun:
    """What the profile run runs: tokens of a step, rows of the sampler, ranks, and what else widens its peak."""

    runner: Runner
    version: tuple[int, ...]
    tokens: int
    rows: int
    width: int
    experts_on: int = 1
    expert_size: int = 0
    vision: bool = False


def peak(facts: ConfigFacts, run: ProfileRun) -> Term:
    """The activation peak as a range, with what it is of."""
    forward = forward_bytes(facts, run.tokens, run.width, run.experts_on, run.expert_size)
    entries = run.rows * facts.vocab_size
    # The forward's output lives on beside the sampler.
    kept = run.tokens * facts.hidden_size * 2 if run.runner == "V1" else 0
    v1, v2 = measured("sampler_v1"), measured("sampler_v2")
    if run.runner == "V0":
        of = low = high = measured("sampler_v0")
    else:
        of, low, high = v2 if run.version >= (0, 33) else v1, v2, v1
    least, usual, most = (max(forward, int(size * entries) + kept) for size in (low.low, of.median, high.high))
    if run.vision:
        seen = measured("vision_peak_bytes")
        span = Span(least, max(usual, int(seen.median)), max(most, int(seen.high)))
        return Term("activation peak", span, "range", "the encoder's largest item too", seen.logs)
    source = f"a forward of {run.tokens:,} tokens, then {run.rows:,} rows of the sampler: {of.source}"
    # Rounding to blocks, and streams that are freed late.
    return Term("activation peak", Span(int(least * 0.98), usual, int(most * 1.04)), "range", source, of.logs)
