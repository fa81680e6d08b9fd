"""transformers' caches on shapes: made as ``generate`` makes them, read off, grown at once, and offloaded."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.facts import language_config
from inspector.errors import CannotSimulateError
from inspector.lenses.kv_cache import Kind, LayerCache
from inspector.simulate.program.refusals import of_the_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import Cache, PreTrainedModel
    from transformers.cache_utils import CacheLayerMixin

    from inspector.simulate.tracing.tracer import Tracer


def make_cache(model: PreTrainedModel, kind: str, length: int, source: int = 0) -> tuple[str, Any]:
    """The cache ``generate`` would prepare, and the name the model takes it by; None where the model makes its own.

    Source: transformers/generation/utils.py, ``_prepare_cache_for_generation`` and ``_prepare_static_cache``.

    Args:
        model: the model.
        kind: dynamic, static, quantized or offloaded.
        length: tokens a static cache is made for.
        source: positions that an encoder has given, which the decoder of an encoder-decoder keeps; 0 for any other.

    Raises:
        CannotSimulateError: when the model has no cache of this kind.
    """
    from transformers import DynamicCache, EncoderDecoderCache, QuantizedCache, StaticCache

    name = "cache_params" if "mamba" in type(model).__name__.lower() else "past_key_values"
    config = language_config(model.config)
    # Such a model makes its own on the first forward, and ``generate`` hands it none.
    if not model._supports_default_dynamic_cache():
        if kind != "dynamic":
            raise CannotSimulateError(f"{type(model).__name__} keeps a cache of its own, not a {kind} one")
        return name, None
    if source and kind not in {"dynamic", "static"}:
        # It reads the layers' keys as they lie and not by ``update``, which alone would bring them back
        # (``is_updated`` in the attention of modeling_t5.py and its like); a quantized one ``generate`` refuses itself.
        raise CannotSimulateError(
            f"the cross-attention of {type(model).__name__} takes no {kind} cache", hint="use dynamic or static"
        )
    with of_the_model(f"this model has no {kind} cache"):
        if source:
            lengths = (length, source)
            if kind == "static":
                parts = [StaticCache(config=config, max_cache_len=most) for most in lengths]
            else:
                parts = [DynamicCache(config=config) for _ in lengths]
            return name, EncoderDecoderCache(*parts)
        if kind == "static":
            return name, StaticCache(config=config, max_cache_len=length)
        if kind == "quantized":
            # The other backends, quanto and HQQ, are packages of their own; this one is transformers'.
            return name, QuantizedCache("fp8", config)
    return name, DynamicCache(config=config)


def cross_cache(cache: object) -> Any:
    """The part of a cache that keeps what an encoder gave, None where there is none."""
    return getattr(cache, "cross_attention_cache", None)


def cache_layers(cache: object) -> list[Any]:
    """The layers of a cache; what is no ``Cache`` of transformers (a list of states, say) counts as one layer.

    Of an encoder-decoder, those of its decoder's own tokens: `cross_cache` has the others.
    """
    if cache is None:
        return []
    cache = getattr(cache, "self_attention_cache", cache)
    layers = getattr(cache, "layers", None)
    return list(layers) if layers is not None else [cache]


def read_layers(cache: object, batch_size: int) -> Iterator[LayerCache]:
    """The cache as it is, a sequence at a time: read off the tensors, not computed."""
    for layer in cache_layers(cache):
        tensors = list(tensors_of(layer))
        growing = list(_growing(layer))
        token = sum(tensor.numel() // max(tensor.shape[-2], 1) * tensor.element_size() for tensor in growing)
        # Vectors and scalars are counters (``_sliding_window_tensor`` of transformers/cache_utils.py), and no state.
        state = sum(tensor_bytes(t) for t in tensors if not any(t is g for g in growing) and t.dim() > 1)
        window = getattr(layer, "sliding_window", None)
        if window is None and getattr(layer, "is_sliding", False):
            window = layer.max_cache_len
        kind: Kind = "sliding" if window else "full" if growing else "linear" if tensors else "none"
        yield LayerCache(kind, token // batch_size, window, state // batch_size)


def _growing(layer: CacheLayerMixin) -> Iterator[Any]:
    """Tensors with a place for every token: keys, values, and the keys of an indexer."""
    quantized = getattr(layer, "_quantized_keys", None)
    named = (
        (quantized[0], layer._quantized_values[0])
        if quantized
        else (getattr(layer, name, None) for name in ("keys", "values", "indexer_keys"))
    )
    for tensor in named:
        if isinstance(tensor, torch.Tensor) and tensor.dim() >= 3 and tensor.numel():
            yield tensor


def tensor_bytes(tensor: torch.Tensor) -> int:
    """True bytes of a tensor; of a view, of what it shows."""
    return int(tensor.numel() * tensor.element_size())


def tensors_of(layer: object) -> Iterator[Any]:
    """Every tensor a cache layer (or a list of states) holds, on the device."""
    if isinstance(layer, torch.Tensor):
        if layer.device.type == "meta" and layer.numel():
            yield layer
    elif isinstance(layer, dict):
        for value in layer.values():
            yield from tensors_of(value)
    elif isinstance(layer, (list, tuple)):
        for value in layer:
            yield from tensors_of(value)
    elif hasattr(layer, "__dict__") and not isinstance(layer, type):
        for value in vars(layer).values():
            if isinstance(value, (torch.Tensor, dict, list, tuple)):
                yield from tensors_of(value)


def grow_layer(layer: CacheLayerMixin, tokens: int) -> None:
    """Leave a layer as ``tokens`` more updates would: the same class, the final shapes."""
    from transformers import cache_utils

    if isinstance(layer, cache_utils.Fp8QuantizedLayer):
        for name in ("_quantized_keys", "_quantized_values"):
            stored, scale = getattr(layer, name)
            setattr(layer, name, (_longer(stored, tokens), scale))
        layer.cumulative_length += tokens
    elif isinstance(layer, cache_utils.DynamicSlidingWindowLayer) and layer.is_initialized:
        kept = layer.sliding_window
        layer.cumulative_length += tokens
        for name in ("keys", "values"):
            old = getattr(layer, name)
            size = min(old.shape[-2] + tokens, kept)
            # Of a full window one token less is seen, but its storage is there: a view of what ``update`` put together.
            grown = _longer(old, size - old.shape[-2])
            setattr(layer, name, grown[:, :, -kept + 1 :, :] if size == kept else grown)
    elif isinstance(layer, cache_utils.DynamicLayer) and layer.is_initialized:
        for name in ("keys", "values", "indexer_keys"):
            old = getattr(layer, name, None)
            if isinstance(old, torch.Tensor) and old.dim() >= 3:
                setattr(layer, name, _longer(old, tokens))
    elif isinstance(getattr(layer, "cumulative_length_int", None), int):
        # A static layer has its final size from the first update on: only its counter moves.
        layer.cumulative_length_int += tokens


def _longer(tensor: torch.Tensor, tokens: int) -> Any:
    shape = list(tensor.shape)
    shape[-2] += tokens
    return tensor.new_empty(shape)  # beside the old one, on whichever card that is


@contextmanager
def unseen(tracer: Tracer) -> Iterator[None]:
    """What is made in here is in host memory."""
    tracer.__exit__(None, None, None)
    try:
        yield
    finally:
        tracer.__enter__()


def offload_on_meta(cache: Cache, tracer: Tracer) -> set[int]:
    """``DynamicCache(offloading=True)`` on shapes: a layer's tensors leave the device after its update.

    Source: transformers/cache_utils.py, ``Cache.update`` (prefetch the next layer, update, offload this one),
    ``CacheLayerMixin.offload`` and ``prefetch``. Copies in host memory are not followed. Returns the numbers of the
    layers that are away, as they come and go.
    """
    layers = cache.layers
    inner = cache.update
    away: set[int] = set()

    def moved(tensor: torch.Tensor, *, home: bool) -> Any:
        if home:
            return torch.empty_like(tensor)
        with unseen(tracer):
            copy = torch.empty_like(tensor)
        tracer.ignore([copy])
        return copy

    def move(number: int, *, home: bool) -> None:
        layer = layers[number]
        if getattr(layer, "is_initialized", False) and (number in away) == home and hasattr(layer, "keys"):
            layer.keys, layer.values = moved(layer.keys, home=home), moved(layer.values, home=home)
            (away.discard if home else away.add)(number)

    def update(keys: torch.Tensor, values: torch.Tensor, layer_idx: int, *args: object, **kwargs: object) -> Any:
        move(layer_idx, home=True)
        # After the last layer comes the first, for the next token; it comes before this one leaves, so two are at home.
        move((layer_idx + 1) % len(layers), home=True)
        result = inner(keys, values, layer_idx, *args, **kwargs)
        move(layer_idx, home=False)
        return result

    cache.update = update
    return away
