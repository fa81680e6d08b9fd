"""vLLM's budget: from the card's bytes to blocks, tokens and concurrency, and whether the engine starts.

Source: vLLM v1/worker/gpu_worker.py (``determine_available_memory``), v1/core/kv_cache_utils.py; V0: worker/worker.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Any

from inspector.config_json import text_fields
from inspector.serving import activation
from inspector.serving.checks import check_heads
from inspector.serving.drafts import Drafts, drafts
from inspector.serving.figures import Span, Term
from inspector.serving.kv_layers import kv_layers
from inspector.serving.language_part import without_towers
from inspector.serving.lora_slots import OF_EXPERTS, lora_bytes
from inspector.serving.measured import measured
from inspector.serving.report import CacheShape, ServingReport
from inspector.serving.sharding import Ranks
from inspector.serving.storing import engine_scheme, expert_padding
from inspector.serving.vllm.cache import vllm_cache
from inspector.serving.vllm.checks import check_cache, check_model, check_numbers, check_step
from inspector.serving.vllm.graphs import graphs_estimated
from inspector.serving.vllm.json_options import leaves_out_towers, named, object_of, overridden, with_json
from inspector.serving.vllm.settings import Shape, resolve
from inspector.serving.vllm.verdict import helps, verdict
from inspector.serving.weights import rank_weights, table_positions
from inspector.skeleton.skeleton import in_tower
from inspector.units import GiB

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from inspector.gpus import Gpu
    from inspector.serving.vllm.blocks import Plan
    from inspector.serving.vllm.cache import Cache
    from inspector.serving.vllm.settings import Resolved, VllmSettings
    from inspector.serving.weights import Part
    from inspector.skeleton import Skeleton
    from inspector.sources.source import Source

UNTOLD = frozenset({"falcon"})
"""Models whose attention is not handed the cache's config, so that its dtype stays the model's (models/falcon.py)."""
UNLIKE, UNLIKE_PLAIN = 0.003, 0.0005
"""By how much printed weights may differ from the allocator's blocks: of several ranks or packed numbers, where
repacking leaves blocks of other sizes, and of plain numbers on one card (logs of both: 0.28 % and 0.01 % at most)."""


def vllm_report(
    source: Source, settings: VllmSettings, card: Gpu, version: str = "", not_understood: tuple[str, ...] = ()
) -> ServingReport:
    """What vLLM makes of a card. Raises InspectorError for what it refuses before it looks at memory."""
    skeleton, settings = source.skeleton, with_json(settings, source.runnable)
    config = overridden(source.runnable, settings)
    facts = skeleton.facts
    width = settings.tensor_parallel_size
    check_numbers(settings)
    check_heads(facts, width)
    layers = kv_layers(facts, config)
    latent = any(layer.kind == "latent" for layer in layers)
    check_model(settings, facts, latent=latent)
    if facts.model_type in UNTOLD:
        settings = replace(settings, kv_cache_dtype="auto")
    text = text_fields(config)
    told = text.get("max_position_embeddings") if settings.hf_overrides else None
    positions = max(told if isinstance(told, int) else facts.context_length, 1)
    if any("yarn" in str(text.get(key) or "") for key in ("rope_scaling", "rope_parameters")):
        positions = max(positions, table_positions(config, positions))
    names = config.get("architectures")
    shape = Shape(
        positions, tuple(names) if isinstance(names, list) else (), latent=latent, mixture=bool(facts.num_experts),
        hybrid=any(layer.kind == "state" for layer in layers),
        packed=bool(settings.quantization or config.get("quantization_config")),
    )  # fmt: skip
    resolved = resolve(settings, version, card, shape)
    check_step(settings, resolved)
    check_cache(settings, resolved, card)
    scheme = engine_scheme(
        skeleton, config, settings.quantization, settings.dtype, card, plain_constants=resolved.version >= (0, 9, 2)
    )
    experts = width * settings.data_parallel_size if settings.enable_expert_parallel else 1
    ranks = Ranks(width, settings.pipeline_parallel_size, experts)
    size = _expert_size(config)
    padding, kernel = expert_padding(
        _method(scheme.name, config),
        card,
        facts.hidden_size,
        size if experts == 1 else 0,
        width,
        resolved.version,
    )
    parts = rank_weights(_loaded(skeleton, config, settings, resolved), scheme, config, ranks, padding=padding)
    if settings.enable_lora:
        parts = (*parts, _slots(skeleton, ranks, settings, resolved))
    draft = Drafts()
    if settings.num_speculative_tokens:
        draft = drafts(object_of("--speculative-config", settings.speculative_config), source, scheme, ranks, layers)
        parts = (*parts, *draft.parts)
    scan = str(text.get("mamba_ssm_dtype") or text.get("mamba_ssm_cache_dtype") or "")
    cache = vllm_cache(
        (*layers, *draft.layers), settings, resolved, scheme.rest, scan, delta=bool(text.get("linear_num_value_heads"))
    )
    weights = _weights(parts, settings, resolved, plain=ranks.cards == 1 and scheme.bits >= 16)
    terms = _terms(skeleton, settings, resolved, card, weights, experts, size)
    left = terms[0].span
    for term in terms[1:]:
        left = Span(left.low - term.span.high, left.value - term.span.value, left.high - term.span.low)
    if settings.kv_cache_memory_bytes:
        left = Span.exactly(settings.kv_cache_memory_bytes)
    notes = [f"experts are padded for the {kernel} kernel"] if kernel and padding > 1 else []
    if draft.said:
        notes.append(draft.said)
    if settings.ask_engine:
        from inspector.serving.vllm.asked import ask

        notes.append(ask(config, settings, card, left.value).said())
    said = version or ".".join(map(str, resolved.version))
    base = Base(
        skeleton, settings, resolved, card, said, parts, weights, terms, positions, not_understood, tuple(notes)
    )
    return _answer(base, cache, left)


def _loaded(skeleton: Skeleton, config: Mapping[str, Any], settings: VllmSettings, resolved: Resolved) -> Skeleton:
    return without_towers(skeleton) if leaves_out_towers(config, settings, resolved.version) else skeleton


def _slots(skeleton: Skeleton, ranks: Ranks, settings: VllmSettings, resolved: Resolved) -> Part:
    of_experts = resolved.version >= OF_EXPERTS
    return lora_bytes(skeleton, ranks, settings.max_loras, settings.max_lora_rank, experts=of_experts)


@dataclass(frozen=True, slots=True)
class Base:
    """What is known before the cache is cut: the question, the weights, and each term."""

    skeleton: Skeleton
    settings: VllmSettings
    resolved: Resolved
    card: Gpu
    version: str
    parts: tuple[Part, ...]
    weights: Span
    terms: tuple[Term, ...]
    positions: int
    not_understood: tuple[str, ...]
    notes: tuple[str, ...]


def _weights(parts: tuple[Part, ...], settings: VllmSettings, resolved: Resolved, *, plain: bool) -> Span:
    there = sum(part.nbytes for part in parts) - int(settings.cpu_offload_gb * GiB)
    unlike = UNLIKE_PLAIN if plain else UNLIKE
    most = measured("bitsandbytes_over").high if settings.unsaid_layers else 1 + unlike
    # V0 counts what loading left, and some of its releases made the table later.
    table = next((part.nbytes for part in parts if part.name == "rotary table"), 0) if resolved.runner == "V0" else 0
    return Span(int((there - table) * (1 - unlike)), there, int(there * most))


def _terms(
    skeleton: Skeleton, settings: VllmSettings, resolved: Resolved, card: Gpu, weights: Span, experts: int, size: int
) -> tuple[Term, ...]:
    requested = ceil(card.usable_bytes * resolved.utilization)
    one = settings.tensor_parallel_size * settings.pipeline_parallel_size == 1
    other = measured("non_torch_one_bytes" if one else "non_torch_several_bytes")
    vision = not settings.skip_mm_profiling and any(in_tower(module.path) for module in skeleton.modules)
    run = activation.ProfileRun(
        resolved.runner, resolved.version, resolved.batched, resolved.sequences, settings.tensor_parallel_size,
        experts, size, vision=vision, second=resolved.second, flashinfer=resolved.flashinfer,
        processors=card.multiprocessors,
    )  # fmt: skip
    terms = [
        Term(
            f"requested, {resolved.utilization:g} of the card", Span.exactly(requested), "exact",
            "ceil(total x gpu_memory_utilization)",
        ),
        _weights_term(weights, settings),
        Term(
            "outside PyTorch", Span(int(other.low), int(other.median), int(other.high)), "range", other.source,
            other.logs,
        ),
        activation.peak(skeleton.facts, run),
    ]  # fmt: skip
    if resolved.second:
        rows, words = resolved.sequences, skeleton.facts.vocab_size
        counts = Span.exactly(4 * rows * (words + -(-words // 32)))
        terms.append(Term("the sampler's state", counts, "rule", "v1/worker/gpu/sample/penalties.py"))
    if resolved.graph_estimate:
        layers = -(-skeleton.facts.num_layers // settings.pipeline_parallel_size)
        terms.append(graphs_estimated(layers, resolved, mixture=bool(skeleton.facts.num_experts)))
    return tuple(terms)


def _weights_term(weights: Span, settings: VllmSettings) -> Term:
    if settings.unsaid_layers:
        seen = measured("bitsandbytes_over")
        return Term("weights", weights, "range", "layers in 16 bits that its config.json alone names", seen.logs)
    return Term("weights", weights, "rule", "tensors of the rank, with the rotary table")


def _answer(base: Base, cache: Cache, left: Span) -> ServingReport:
    """The base with tokens, concurrency and verdict of what is left."""
    settings, resolved, plan = base.settings, base.resolved, cache.plan
    ranks = settings.decode_context_parallel_size
    length, needed = resolved.length, plan.request_bytes(resolved.length, resolved.in_flight, ranks)
    # One block is held back for ever, an empty one that tables point at (kv_cache_planning.py of 0.33).
    spare = plan.block_bytes if resolved.version >= (0, 30) else 0
    longest = _each(left, lambda size: plan.longest(size - spare, resolved.in_flight, base.positions, ranks))
    if settings.max_model_len == -1:  # "auto": what fits
        length, needed = longest.value, plan.request_bytes(longest.value, resolved.in_flight, ranks)
    override = settings.num_gpu_blocks_override
    blocks = Span.exactly(override) if override else _each(left, plan.blocks)
    request = plan.request_blocks(length, resolved.in_flight, ranks) or 1
    least = 0 if settings.max_model_len == -1 and longest.low else needed  # what fits is taken, whatever that is
    starts, refusal = verdict(left, least, base.card, length, longest, resolved, spare=spare if least else 0)
    return ServingReport(
        engine="vllm", engine_version=base.version, model=base.skeleton.model_id, card=base.card.name,
        cards=settings.tensor_parallel_size * settings.pipeline_parallel_size * settings.data_parallel_size,
        starts=starts, refusal=refusal, card_bytes=base.card.usable_bytes, terms=base.terms, weights=base.parts,
        weights_bytes=base.weights, kv_bytes=left,
        kv_tokens=_each(blocks, lambda count: printed_tokens(count, cache, resolved, length, request) * ranks),
        max_model_len=length,
        max_concurrency=_each(blocks, lambda count: round(100 * _concurrency(count, request, plan, resolved, length))),
        largest_max_model_len=longest,
        cache=CacheShape(
            cache.token_bytes, plan.block, plan.block_bytes, len(plan.groups), needed, cache.state_bytes,
            cache.hybrid.padding_percent if cache.hybrid else 0.0, grows=len(plan.groups) == 1,
        ),
        helps=helps(starts, settings, resolved, longest), assumed=resolved.assumed,
        not_understood=base.not_understood, notes=(*base.notes, *_notes(settings, plan)),
    )  # fmt: skip


def _notes(settings: VllmSettings, plan: Plan) -> tuple[str, ...]:
    said = []
    if settings.swap_space:
        held = _swapped(settings.swap_space, plan.block_bytes)
        said.append(f"--swap-space {settings.swap_space:g} holds {held:,} blocks on the host")
    if len(plan.groups) > 1:
        said.append("of several groups of layers: concurrency counts, tokens are no capacity")
    return (*said, *named(settings))


def _each(span: Span, count: Callable[[int], int]) -> Span:
    return Span(count(span.low), count(span.value), count(span.high))


def printed_tokens(blocks: int, cache: Cache, resolved: Resolved, length: int, request: int) -> int:
    """Tokens as vLLM prints them: of the blocks in each group, or since 0.20 of the concurrency."""
    if resolved.version >= (0, 20) and resolved.runner == "V1":
        return int(blocks / request * length)
    return blocks // len(cache.plan.groups) * cache.plan.block


def _concurrency(blocks: int, request: int, plan: Plan, resolved: Resolved, length: int) -> float:
    """Requests of the longest length at once; before V1's manager of groups it was of tokens, not of whole blocks."""
    if resolved.runner == "V0" or resolved.version < (0, 9, 2):
        return blocks * plan.block / length
    return blocks / request


def _swapped(gib: float, block: int) -> int:
    return int(gib * GiB) // block


def _expert_size(config: Mapping[str, object]) -> int:
    text = text_fields(config)
    found = text.get("moe_intermediate_size") or (text.get("intermediate_size") if text.get("num_local_experts") else 0)
    return found if isinstance(found, int) else 0


def _method(name: str, config: Mapping[str, object]) -> str:
    said = config.get("quantization_config")
    return str(said.get("quant_method")) if name == "published" and isinstance(said, dict) else name.partition(":")[0]
