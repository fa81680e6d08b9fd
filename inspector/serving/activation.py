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
    from inspector.serving.measured import Range
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
    """What the profile run runs: tokens of a step, rows of the sampler, ranks, and what else widens its peak.

    ``second`` and ``flashinfer`` say which model runner runs it and whose sampler it has
    (`inspector.serving.vllm.runner`); ``processors`` are the card's.
    """

    runner: Runner
    version: tuple[int, ...]
    tokens: int
    rows: int
    width: int
    experts_on: int = 1
    expert_size: int = 0
    vision: bool = False
    second: bool = False
    flashinfer: bool = False
    processors: int = 0


def peak(facts: ConfigFacts, run: ProfileRun) -> Term:
    """The activation peak as a range, with what it is of."""
    forward = forward_bytes(facts, run.tokens, run.width, run.experts_on, run.expert_size)
    entries = run.rows * facts.vocab_size
    # The forward's output lives on beside the sampler.
    kept = run.tokens * facts.hidden_size * 2 if run.runner == "V1" else 0
    low, of, high = _samplers(run)
    # What Triton's kernel has for each of its programs (v1/sample/ops/topk_topp_triton.py).
    buffer = 4 * min(run.processors, run.rows) * facts.vocab_size if of is measured("sampler_v2") else 0
    least, usual, most = (
        max(forward, int(size * entries) + kept + beside)
        for size, beside in ((low.low, 0), (of.median, buffer), (high.high, 0))
    )
    if run.width > 1 and (run.runner == "V0" or (run.second and run.version >= SHARDED)):
        least = forward  # logits are gathered on the first rank alone, or each rank samples its part of the rows
    if run.vision:
        seen = measured("vision_peak_bytes")
        span = Span(least, max(usual, int(seen.median)), max(most, int(seen.high)))
        return Term("activation peak", span, "range", "the encoder's largest item too", seen.logs)
    source = f"a forward of {run.tokens:,} tokens, then {run.rows:,} rows of the sampler: {of.source}"
    # Rounding to blocks, and streams that are freed late.
    span = Span(int(least * 0.98), usual, int(most * 1.04))
    return Term("activation peak", span, "range" if of.logs else "rule", source, of.logs)


SORTED_UNTIL = (0, 17)
"""Below it top-k and top-p sort every row (pull request 33538 brought Triton's kernels, which do not): the rows, their
copy in float32, the sorted values and places, and what CUDA's segmented sort has beside them, 38 bytes an entry."""
WARMED = (0, 30), (0, 33)
"""From the second on the second runner profiles with what a warm-up samples with, which copies the logits to float32,
and filters them; below the first it left them as they are. Those between were not read. What FlashInfer has beside the
copy is read in its source, and the pull request (57926) measured less on an L4: so from the copy to all of it."""
SHARDED = (0, 29)
"""From here on ranks of the second runner may share the rows out ("batch-sharded sampling" of the release's notes)."""


def _samplers(run: ProfileRun) -> tuple[Range, Range, Range]:
    """What an entry of the sampler's rows takes: least, usual and most."""
    sort, plain = measured("sampler_v0"), measured("sampler_v1")
    if run.runner == "V0":
        return sort, sort, sort
    if not run.second:
        of = sort if run.version < SORTED_UNTIL and not run.flashinfer else plain
        return of, of, of
    bare, copied = measured("sampler_bare"), measured("sampler_v2")
    if run.version < WARMED[0]:
        return bare, bare, copied
    return (
        bare if run.version < WARMED[1] else copied,
        measured("sampler_flashinfer") if run.flashinfer else copied,
        plain,
    )
