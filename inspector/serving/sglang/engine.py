"""SGLang's budget: a share of what is free before the weights, less the weights, is the cache.

Source: srt/model_executor/model_runner_kv_cache_mixin.py (``profile_max_num_token``) and
mem_cache/kv_cache_configurator.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.serving.activation import forward_bytes
from inspector.serving.checks import check_heads
from inspector.serving.drafts import Drafts, drafts
from inspector.serving.figures import Span, Term
from inspector.serving.kv_layers import kv_layers
from inspector.serving.measured import measured
from inspector.serving.report import CacheShape, ServingReport, Starts
from inspector.serving.sglang.cache import pools
from inspector.serving.sglang.settings import attending, fraction, steps
from inspector.serving.sharding import Ranks
from inspector.serving.storing import engine_scheme
from inspector.serving.versions import NEWEST
from inspector.serving.weights import rank_weights
from inspector.skeleton.skeleton import in_tower
from inspector.units import GiB

if TYPE_CHECKING:
    from inspector.gpus import Gpu
    from inspector.serving.sglang.cache import Pools
    from inspector.serving.sglang.settings import SglangSettings
    from inspector.sources.source import Source


def sglang_report(
    source: Source, settings: SglangSettings, card: Gpu, version: str = "", not_understood: tuple[str, ...] = ()
) -> ServingReport:
    """What SGLang makes of a card. Raises InspectorError for what it refuses before it looks at memory."""
    skeleton, config = source.skeleton, source.runnable
    facts = skeleton.facts
    check_heads(facts, settings.tensor_parallel_size)
    scheme = engine_scheme(skeleton, config, settings.quantization, settings.dtype, card)
    ranks = Ranks(
        settings.tensor_parallel_size, settings.pipeline_parallel_size, settings.expert_parallel_size,
        attending(settings) if settings.enable_dp_attention else 0,
    )  # fmt: skip
    parts = rank_weights(skeleton, scheme, config, ranks, segments=True)
    layers, draft = kv_layers(facts, config), Drafts()
    if settings.speculative_algorithm:
        # The draft's layers hold the same tokens, in a pool of the same length (model_runner_kv_cache_mixin.py).
        named = {"method": settings.speculative_algorithm.lower(), "model": settings.speculative_draft_model_path}
        draft = drafts(named, source, scheme, ranks, layers)
        parts = (*parts, *draft.parts)
    made = pools((*layers, *draft.layers), settings, scheme.rest)
    vision = any(in_tower(module.path) for module in skeleton.modules)
    share = fraction(settings, version, card, vision=vision)
    if not 0 < share < 1:
        raise InspectorError(f"--mem-fraction-static is {share}, and a share lies between 0 and 1")
    terms, rest = _budget(settings, card, sum(part.nbytes for part in parts), share)
    derived = max(facts.context_length, 1)
    length = settings.context_length or derived
    if length > derived > 1 and not settings.allow_longer_context:
        raise InspectorError(
            f"User-specified context_length ({length}) is greater than the derived context_length ({derived}). This "
            "may lead to incorrect model outputs or CUDA errors.",
            hint="SGLANG_ALLOW_OVERWRITE_LONGER_CONTEXT_LEN=1 allows it",
        )
    tokens = Span(*(_tokens(made, settings, size) for size in (rest.low, rest.value, rest.high)))
    chunk, _ = steps(settings, card)
    starts, refusal, smallest = _verdict(terms, rest, made, forward_bytes(facts, chunk, settings.tensor_parallel_size))
    most = facts.context_length
    helps = () if starts == "yes" else (f"--mem-fraction-static {smallest:.3f} is the smallest that leaves a cache",)
    return ServingReport(
        engine="sglang", engine_version=version or NEWEST["sglang"], model=skeleton.model_id, card=card.name,
        cards=ranks.cards * (1 if settings.enable_dp_attention else settings.data_parallel_size),
        starts=starts,
        refusal=refusal, card_bytes=card.usable_bytes, terms=terms, weights=parts, weights_bytes=terms[1].span,
        kv_bytes=rest, kv_tokens=tokens, max_model_len=length,
        max_concurrency=Span(*(round(100 * count / length) for count in (tokens.low, tokens.value, tokens.high))),
        largest_max_model_len=Span(*(min(count, most) for count in (tokens.low, tokens.value, tokens.high))),
        cache=CacheShape(
            made.full + made.window, made.page, made.page * (made.full + made.window),
            request_bytes=length * made.full + made.state, state_bytes=made.state,
            grows=not (made.window or made.state),
        ),
        helps=helps,
        assumed=_assumed(settings, share), not_understood=not_understood,
        notes=(*_notes(settings, made, rest, length), *((draft.said,) if draft.said else ())),
    )  # fmt: skip


def _budget(settings: SglangSettings, card: Gpu, weights: int, share: float) -> tuple[tuple[Term, ...], Span]:
    one = settings.tensor_parallel_size * settings.pipeline_parallel_size == 1
    taken = measured("sglang_before_one_bytes" if one else "sglang_before_several_bytes")
    before = Span(*(card.usable_bytes - int(size) for size in (taken.high, taken.median, taken.low)))
    more = measured("sglang_load_over_bytes")
    weights -= int(settings.cpu_offload_gb * GiB)
    load = Span(weights, weights + int(more.median), weights + int(more.high))
    kept = Span(*(int(size * (1 - share)) for size in (before.low, before.value, before.high)))
    terms = (
        Term("free before the weights", before, "range", taken.source, taken.logs),
        Term("weights", load, "range", f"tensors of the rank, and what loading took beside: {more.source}", more.logs),
        Term(f"kept for activations and graphs, 1 - {share:g}", kept, "rule", "before x (1 - mem_fraction_static)"),
    )
    # The share and what is free go together: the most is kept where the most is free.
    rest = Span(
        before.low - kept.low - load.high, before.value - kept.value - load.value, before.high - kept.high - load.low
    )
    return terms, rest


def _tokens(made: Pools, settings: SglangSettings, rest: int) -> int:
    found = made.tokens(rest)
    return min(found, settings.max_total_tokens) if settings.max_total_tokens else found


def _verdict(terms: tuple[Term, ...], rest: Span, made: Pools, forward: int) -> tuple[Starts, str, float]:
    before, load = terms[0].span, terms[1].span
    smallest = min((load.value + made.page * (made.full + made.window)) / before.value + 0.0005, 0.999)
    if rest.high <= 0:
        return "no", "Not enough memory. Please try to increase --mem-fraction-static.", smallest
    # Activations and graphs are not measured: they have to do with what is kept free.
    unsure = rest.low <= 0 or terms[2].span.value < forward
    return ("unknown" if unsure else "yes"), "", smallest


def _assumed(settings: SglangSettings, share: float) -> tuple[str, ...]:
    if settings.mem_fraction_static is not None:
        return ()
    return (f"--mem-fraction-static {share:g} is its default on this card",)


def _notes(settings: SglangSettings, made: Pools, rest: Span, length: int) -> tuple[str, ...]:
    tokens = _tokens(made, settings, rest.value)
    running = settings.max_running_requests or min(max(int(tokens / length * 512), 2048), 4096)
    slots = made.slots(rest.value)
    table = running * (length + 4) * 4 / GiB
    said = [f"at most {running:,} requests run at once; their table of slots takes {table:.2f} GiB of what is kept"]
    if slots:
        said.append(f"states of {slots:,} sequences fit beside the tokens; a third of them may run at once")
    return tuple(said)
