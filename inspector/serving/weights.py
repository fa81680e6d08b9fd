"""Bytes of weights on the heaviest rank of an engine, by kind of part."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from inspector.config_json import text_fields
from inspector.serving.laid_out import Kept, laid_out
from inspector.serving.resident import resident
from inspector.skeleton import DTYPE_BYTES
from inspector.skeleton.skeleton import in_tower

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inspector.precision import Scheme
    from inspector.serving.sharding import Ranks
    from inspector.skeleton import Skeleton, Tensor

ROUNDED = "allocator's rounding"
"""The part of weights that is no tensor's: what `resident` says of blocks."""


OF_TRANSFORMERS = frozenset({"smollm3", "arcee"})
"""Models that vLLM runs by transformers' own modules, which compute sines as they go (models/registry.py)."""


EVERYWHERE = frozenset({"mixtral", "olmoe", "qwen3_moe", "qwen3_next"})
"""Models that make embedding and head on every pipeline stage (their files in vLLM's model_executor/models)."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of one kind of weights on a rank."""

    name: str
    nbytes: int


def rank_weights(
    skeleton: Skeleton, scheme: Scheme, config: Mapping[str, Any], ranks: Ranks, *, padding: Fraction = Fraction(1),
    segments: bool = False,
) -> tuple[Part, ...]:  # fmt: skip
    """What the heaviest rank holds, by kind, largest first.

    Args:
        skeleton: the model.
        scheme: how its weights are stored.
        config: its config, for the rotary tables.
        ranks: how it is spread.
        padding: of experts' matrices, by the kernel that multiplies them.
        segments: count the allocator's whole segments, as an engine does that asks the card what is free.
    """
    made = scheme.for_model(skeleton)
    layers = skeleton.facts.num_layers

    def stages_of(tensor: Tensor) -> Iterator[int]:
        return _stages(skeleton, tensor, skeleton.module_of(tensor).layer, layers, ranks.stages)

    every = laid_out(skeleton, made, ranks, stages_of, padding)
    kept = max(every, key=lambda stage: sum(one.nbytes for one in stage))
    if table := rotary_bytes(skeleton, config, made.rest):
        kept.append(Kept("rotary table", table))
    packed = made.bits < 16 and any(
        made.quantizes(skeleton.module_of(tensor), tensor)
        for tensor in skeleton.own_tensors if tensor.name.endswith("kv_b_proj.weight")
    )  # fmt: skip
    if packed and (latent := _absorbed(config, ranks, made.rest, 1)):
        kept += [Kept("absorbed latent projections", latent)] * -(-layers // ranks.stages)
    heaviest: dict[str, int] = {}
    for one in kept:
        heaviest[one.part] = heaviest.get(one.part, 0) + one.nbytes
    there = resident(one.nbytes for one in kept)
    heaviest[ROUNDED] = (there.reserved if segments else there.allocated) - sum(heaviest.values())
    found = (Part(name, int(size)) for name, size in heaviest.items() if size)
    return tuple(sorted(found, key=lambda part: -part.nbytes))


def _stages(skeleton: Skeleton, tensor: Tensor, layer: str | None, layers: int, stages: int) -> Iterator[int]:
    """The pipeline stages that hold a tensor; the first has the embedding, the last head and final norm."""
    if stages == 1:
        yield 0
        return
    number = re.search(r"\.(\d+)$", layer or "")
    if layer and number and not in_tower(tensor.name):
        yield stage_of(int(number[1]), layers, stages)
        return
    owner, facts = tensor.owner, skeleton.facts
    if facts.model_type in EVERYWHERE and owner in {facts.input_embeddings, facts.output_embeddings}:
        yield from range(stages)
        return
    tied = any(other.tied_to == tensor.name for other in skeleton.tensors)
    if owner == facts.input_embeddings or in_tower(owner) or "projector" in owner:
        yield 0
        if tied:
            yield stages - 1
        return
    yield stages - 1


def stage_layers(layers: int, stages: int) -> tuple[int, ...]:
    """Layers of each stage: what is left over goes to the last but one, and on towards the first.

    Source: vLLM distributed/utils.py, ``get_pp_indices``.
    """
    even, left = divmod(layers, stages)
    counts = [even] * stages
    for place in range(2, left + 2):
        counts[-place] += 1
    return tuple(counts)


def stage_of(layer: int, layers: int, stages: int) -> int:
    """The stage that a layer is in."""
    for stage, count in enumerate(stage_layers(layers, stages)):
        if layer < count:
            return stage
        layer -= count
    return stages - 1


def rotary_bytes(skeleton: Skeleton, config: Mapping[str, Any], dtype: str) -> int:
    """The table of sines and cosines that a vLLM rank keeps: positions x rotary width, one for each base.

    Source: vLLM model_executor/layers/rotary_embedding/base.py (``cos_sin_cache``); of Llama 3.1 8B it is 32 MiB, with
    which the weights are 14.9888 GiB, as printed.
    """
    text = text_fields(config)
    # Llama 2's config leaves the base out, and 10,000 is taken.
    keys = ("rope_theta", "rope_parameters", "rotary_emb_base")
    if text.get("model_type") != "llama" and not any(text.get(key) for key in keys):
        return 0
    facts = skeleton.facts
    if facts.model_type in OF_TRANSFORMERS:
        return 0
    if facts.model_type == "gpt_oss":  # its own attention asks for a table in float32
        dtype = "float32"
    part = text.get("partial_rotary_factor") or text.get("rotary_pct") or 1
    width = text.get("qk_rope_head_dim") or int(facts.head_dim * float(part))
    local = facts.context_length if text.get("rope_local_base_freq") else 0
    return int((table_positions(config, facts.context_length) + local) * width) * DTYPE_BYTES[dtype]


def table_positions(config: Mapping[str, Any], positions: int) -> int:
    """Rows of the table, by the kind of scaling.

    Source: vLLM rotary_embedding: ``YaRNScalingRotaryEmbedding`` (the original length times the factor),
    ``LinearScalingRotaryEmbedding`` and ``DynamicNTKScalingRotaryEmbedding`` (the length times the factor),
    ``MRotaryEmbedding`` (four times the length), ``Phi3LongRoPEScaledRotaryEmbedding`` (both lengths).
    """
    text = text_fields(config)
    scaling = text.get("rope_scaling") or text.get("rope_parameters")
    if not isinstance(scaling, dict):
        return positions
    kind = str(scaling.get("rope_type") or scaling.get("type"))
    factor, original = scaling.get("factor"), scaling.get("original_max_position_embeddings")
    if "yarn" in kind and isinstance(original, int) and isinstance(factor, int | float):
        return int(original * factor)
    if kind in {"linear", "dynamic"} and isinstance(factor, int | float):
        return int(positions * factor)
    if "mrope_section" in scaling:
        return 4 * positions
    if kind in {"longrope", "su"}:
        first = original or text.get("original_max_position_embeddings")
        return positions + (first if isinstance(first, int) else 0)
    return positions


def _absorbed(config: Mapping[str, Any], ranks: Ranks, dtype: str, layers: int) -> int:
    """``W_UV`` and ``W_UK_T``: the latent's projection in plain numbers, beside a packed projection.

    Source: vLLM v1/attention/backends/mla/common.py, ``process_weights_after_loading``.
    """
    text = text_fields(config)
    latent = text.get("kv_lora_rank")
    if not latent:
        return 0
    heads = int(text.get("num_attention_heads") or 0) // (ranks.attending or ranks.tensor)
    width = int(text.get("qk_nope_head_dim") or 0) + int(text.get("v_head_dim") or 0)
    return int(layers * latent * heads * width * DTYPE_BYTES[dtype])
