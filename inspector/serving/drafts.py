"""What drafts of speculative decoding add to a rank: a model's own layers of multi-token prediction, or a small model.

Sources: vLLM config/speculative.py, model_executor/models/{deepseek,glm4_moe,qwen3_next}_mtp.py (a layer as the model's
last, and a projection of twice the width; embedding and head are the model's own once loaded,
v1/spec_decode/llm_base_proposer.py) and v1/spec_decode/draft_model.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from inspector.config_json import text_fields
from inspector.errors import InspectorError
from inspector.precision.registry import scheme_named
from inspector.serving.kv_layers import kv_layers
from inspector.serving.named_models import namesake
from inspector.serving.sharding import share
from inspector.serving.weights import Part, rank_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.precision import Scheme
    from inspector.serving.kv_layers import KvLayer
    from inspector.serving.sharding import Ranks
    from inspector.skeleton import Skeleton
    from inspector.sources.source import Source

_OF_ITS_OWN = {"qwen3_next": 1, "qwen3_5": 1, "qwen3_5_moe": 1}
"""Layers of multi-token prediction where the config does not count them."""
_WITHOUT = frozenset({"ngram", "ngram_gpu", "suffix"})
"""Methods that look tokens up and run no model."""


_HEADS = re.compile(r"eagle|dflash|dspark|medusa|speculator|hydra")
"""Drafts that are no whole model, whatever model their name says that they are for."""


@dataclass(frozen=True, slots=True)
class Drafts:
    """Weights and cache layers beside the model's, and what is said of them."""

    parts: tuple[Part, ...] = ()
    layers: tuple[KvLayer, ...] = ()
    said: str = ""


def drafts(
    said: Mapping[str, Any], source: Source, scheme: Scheme, ranks: Ranks, layers: tuple[KvLayer, ...]
) -> Drafts:
    """What ``--speculative-config`` adds.

    Args:
        said: its JSON.
        source: the model that is drafted for.
        scheme: how that is stored.
        ranks: how it is spread.
        layers: what its layers keep.
    """
    method, model = str(said.get("method") or ""), str(said.get("model") or "")
    if method in _WITHOUT or model in {"[ngram]", "ngram"}:
        return Drafts(said=f"{method or 'ngram'} looks its drafts up: no weights, no cache")
    if "mtp" in method or not model:
        return _of_its_own(source, scheme, ranks, layers)
    return _of_a_model(model, method, ranks, said.get("draft_tensor_parallel_size"))


def _of_its_own(source: Source, scheme: Scheme, ranks: Ranks, layers: tuple[KvLayer, ...]) -> Drafts:
    skeleton, text = source.skeleton, text_fields(source.runnable)
    said = text.get("num_nextn_predict_layers") or text.get("mtp_num_hidden_layers")
    count = said if isinstance(said, int) else _OF_ITS_OWN.get(str(text.get("model_type")), 0)
    attending = [number for number, layer in enumerate(layers) if layer.kind in {"full", "latent"}]
    if not count or not attending:
        return Drafts(said="this model has no layer of multi-token prediction: of drafts only their tokens are counted")
    one = _layer_bytes(skeleton, scheme, ranks, attending[-1])
    # The projection of the last state beside the next embedding, in the model's own dtype, whole on each rank.
    one += 2 * 2 * skeleton.facts.hidden_size**2
    return Drafts(
        (Part("multi-token prediction", count * one),), (layers[attending[-1]],) * count,
        f"{count} layer{'s' * (count > 1)} of multi-token prediction as the last full one, and its projection",
    )  # fmt: skip


def _layer_bytes(skeleton: Skeleton, scheme: Scheme, ranks: Ranks, number: int) -> int:
    """Bytes of one layer on a rank."""
    made = scheme.for_model(skeleton)
    total = 0
    for tensor in skeleton.own_tensors:
        module = skeleton.module_of(tensor)
        found = re.search(r"\.(\d+)$", module.layer or "")
        if tensor.is_parameter and found and int(found[1]) == number:
            part = share(skeleton, module, tensor, ranks)
            total += int(sum(piece.nbytes for piece in made.pieces(module, tensor)) * part)
    return total


def _of_a_model(model: str, method: str, ranks: Ranks, width: object) -> Drafts:
    from inspector.sources.resolve import locate

    try:
        source = locate(model)
        config = source.runnable
    except InspectorError:
        found = None if _HEADS.search(f"{model} {method}".lower()) else namesake(model, "vllm")
        if found is None:
            return Drafts(
                said=f"the draft {model:.60} is not at hand: its weights and cache are not counted, its tokens are"
            )
        source = locate(found.model)
        config = source.runnable
    spread = replace(ranks, tensor=width if isinstance(width, int) and width > 0 else ranks.tensor, stages=1)
    dtype = {"float16": "fp16", "float32": "fp32"}.get(source.skeleton.facts.dtype, "bf16")
    parts = rank_weights(source.skeleton, scheme_named(dtype), config, spread)
    size = sum(part.nbytes for part in parts)
    kept = kv_layers(source.skeleton.facts, config)
    return Drafts((Part("draft model", size),), kept, f"the draft is {source.name}, its cache lies among the model's")
