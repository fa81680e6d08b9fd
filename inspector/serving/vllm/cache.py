"""A model's layers as vLLM's cache specs, and the plan of blocks on one rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.serving.kv_bytes import state_bytes, token_bytes
from inspector.serving.kv_layers import INDEX_BYTES
from inspector.serving.vllm.blocks import Plan, Spec, plan
from inspector.serving.vllm.state import ALIGN, ALIGN_NOW, HybridBlock, hybrid_block
from inspector.serving.weights import stage_layers
from inspector.skeleton import DTYPE_BYTES

if TYPE_CHECKING:
    from inspector.serving.kv_layers import KvLayer
    from inspector.serving.vllm.settings import Resolved, VllmSettings


@dataclass(frozen=True, slots=True)
class Cache:
    """The plan of the stage with the most layers that keep something, and what it is made of.

    ``token_bytes`` is what one more token adds on a rank while no window is full; ``hybrid`` is set where states are.
    """

    plan: Plan
    token_bytes: int
    state_bytes: int
    hybrid: HybridBlock | None


def vllm_cache(
    layers: tuple[KvLayer, ...], settings: VllmSettings, resolved: Resolved, dtype: str, scan_dtype: str = "", *,
    delta: bool = False,
) -> Cache:  # fmt: skip
    """The plan; ``scan_dtype`` is what the config names for recurrent states, else they are in the model's.

    ``delta`` says that the states are Gated DeltaNet's.

    Raises InspectorError where vLLM refuses such a cache.
    """
    width, kept = settings.tensor_parallel_size, settings.kv_cache_dtype
    counts = stage_layers(len(layers), settings.pipeline_parallel_size)
    stages = [stage for stage, count in enumerate(counts) for _ in range(count)]
    token = {layer: token_bytes(layer, kept, dtype, width) for layer in set(layers)}
    model = DTYPE_BYTES[dtype]
    said = settings.mamba_ssm_cache_dtype
    scan = DTYPE_BYTES.get(scan_dtype if said == "auto" else said, model)
    drafts = settings.num_speculative_tokens
    states = {
        layer: state_bytes(layer, width, model_bytes=model, scan_bytes=scan, drafts=drafts)
        for layer in set(layers) if layer.kind == "state"
    }  # fmt: skip
    block, hybrid = resolved.block, None
    if states:
        attention = max((token[layer] for layer in token if layer.attends), default=0)
        if not attention:
            raise InspectorError("this model keeps states alone", hint="its requests are counted by --max-num-seqs")
        if settings.disable_hybrid_kv_cache_manager:
            raise InspectorError(
                "Hybrid KV cache manager is disabled but failed to convert the KV cache specs to one unified type."
            )
        delta = delta and resolved.checkpoints and _mode(settings) == "align"
        align = ALIGN_NOW if delta else ALIGN
        hybrid = hybrid_block(max(states.values()), attention, settings.block_size or 16, align)
        block = hybrid.tokens
    keeping = [
        (spec, stage)
        for layer, stage in zip(layers, stages, strict=True) if layer.kind not in {"none", "shared"}
        if (spec := _spec(layer, block, token, settings, resolved, hybrid, delta=delta)) is not None
    ]  # fmt: skip
    chosen = max(
        ([layer for layer, there in zip(layers, stages, strict=True) if there == stage] for stage in set(stages)),
        key=lambda part: sum(token[layer] for layer in part),
    )
    index = sum(INDEX_BYTES for layer in chosen if layer.index)
    made = plan([spec for spec, _ in keeping], [stage for _, stage in keeping])
    if index:  # indexers have a page of their own beside each latent's
        made = Plan(made.groups, made.size, made.block_bytes + index * made.block, made.padding_layers)
    return Cache(
        made, sum(token[layer] for layer in chosen) + index, sum(states.get(layer, 0) for layer in chosen), hybrid
    )


def _spec(
    layer: KvLayer, block: int, token: dict[KvLayer, int], settings: VllmSettings, resolved: Resolved,
    hybrid: HybridBlock | None, *, delta: bool,
) -> Spec | None:  # fmt: skip
    if layer.kind == "state" and hybrid is not None:
        drafts = settings.num_speculative_tokens
        # One more where a prefill writes a state out on its way.
        held = {"none": 1 + drafts, "all": 0}.get(_mode(settings), 2 + drafts + delta)
        return Spec("state", hybrid.tokens, hybrid.page, held=held)
    page = block * token[layer]
    if layer.kind in {"window", "chunked"} and resolved.hybrid_manager:
        return Spec("window" if layer.kind == "window" else "chunked", block, page, layer.window)
    return Spec("full", block, page)


def _mode(settings: VllmSettings) -> str:
    return settings.mamba_cache_mode or ("align" if settings.enable_prefix_caching else "none")
