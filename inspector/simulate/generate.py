"""Generation, traced: load, prefill the prompt, decode token by token, with transformers' real cache classes.

The loop is that of ``GenerationMixin._sample`` (transformers/generation/utils.py), greedy. Every step is the model's
own forward on shapes. Of a long answer only the first and the last steps are traced; in between, the cache is grown to
its final length at once, to what its own ``update`` would leave. A test holds the last step equal to that of a run in
which every step is traced.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from inspector.cache import Kind, LayerCache
from inspector.errors import InspectorError
from inspector.kinds import MemoryKind
from inspector.simulate import attention, composites, routing
from inspector.simulate import model as models
from inspector.simulate.autocast import no_autocast
from inspector.simulate.kernels import cuda_kernels
from inspector.simulate.setup import SCHEMES, TrainSetup
from inspector.simulate.trace import Tracer, follow_modules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inspector.simulate.events import Event

CACHES = ("dynamic", "static", "quantized", "offloaded")
TRACED_STEPS = 3
"""Decoding steps traced at each end of the answer."""


@dataclass(frozen=True, slots=True)
class GenerateSetup:
    """How text is generated. ``scheme`` is how the weights are stored; ``dtype`` what they are computed in.

    ``attention`` auto is sdpa where the architecture has it, as transformers chooses.
    """

    batch_size: int = 1
    prompt_len: int = 1024
    max_new_tokens: int = 256
    cache: str = "dynamic"
    scheme: str = "none"
    double_quant: bool = False
    dtype: str = "auto"
    attention: str = "auto"

    def __post_init__(self) -> None:
        """Raise InspectorError for a value out of range."""
        for name, most in (("batch_size", 2**20), ("prompt_len", 2**24), ("max_new_tokens", 2**24)):
            value = getattr(self, name)
            if not 1 <= value <= most:
                raise InspectorError(f"{name} must be a whole number from 1 to {most:,}, not {value!r}")
        for name, allowed in (("cache", CACHES), ("scheme", SCHEMES), ("attention", ("auto", "sdpa", "eager"))):
            value = getattr(self, name)
            if value not in allowed:
                raise InspectorError(f"{name} {value!r} is not known", hint=f"choose from {', '.join(allowed)}")


@dataclass(frozen=True, slots=True)
class GenerateTrace:
    """The events, and what the cache was when the last token had been decoded.

    The stage ``forward`` of step 0 is the prefill, that of step n the n-th decoding step. ``layers`` is read off the
    real cache; ``cache_bytes`` counts its tensors' bytes, whole batch.
    """

    events: tuple[Event, ...]
    layers: tuple[LayerCache, ...]
    cache_bytes: int
    last_step: int


def trace_generate(
    config: Mapping[str, Any],
    setup: GenerateSetup,
    capability: tuple[int, int],
    multiprocessors: int,
    *,
    every_step: bool = False,
) -> GenerateTrace:
    """Everything that loading a model and generating with it allocates and frees on a CUDA device.

    Args:
        config: content of the model's ``config.json``.
        setup: how text is generated.
        capability: the device's compute capability.
        multiprocessors: its number of multiprocessors.
        every_step: trace every decoding step, however long it takes.

    Raises:
        InspectorError: when the model cannot be built, or its cache is not of the kind asked for.
    """
    with models.quiet():
        tracer = Tracer(cuda_kernels(capability, multiprocessors))
    tracer.kernels.replaced = {**tracer.kernels.replaced, **routing.replaced(config, "balanced")}
    operators = {**composites.CUDA, "scaled_dot_product_attention": attention.sdpa_for(capability)}
    with ExitStack() as stack:
        for context in (models.quiet(), composites.decomposed_as(operators), no_autocast(), torch.no_grad()):
            stack.enter_context(context)
        if capability < (8, 0):
            stack.enter_context(models.without_grouped_mm())
        tracer.mark("load", -1)
        model = models.load_model(config, _as_training(setup), tracer)
        model.eval()
        models.label_model(model, tracer)
        tracer.watch_modules(model.named_modules(), models.head_path(model))
        loop = _Loop(model, setup, tracer)
        with _one_line(model, setup), contextmanager(follow_modules)(tracer), tracer:
            loop.run(every_step=every_step)
        tracer.stop()
    return GenerateTrace(tracer.events(), tuple(loop.layers()), loop.cache_bytes(), loop.step)


@contextmanager
def _one_line(model: Any, setup: GenerateSetup) -> Iterator[None]:
    """A model that needs more than token ids, or data, is the user's input: say what it said, in one line."""
    try:
        yield
    except InspectorError:
        raise
    except (RuntimeError, ValueError, TypeError, NotImplementedError, AttributeError, ImportError, KeyError) as error:
        said = " ".join(str(error).split())[:160] or type(error).__name__
        raise InspectorError(
            f"{type(model).__name__} does not generate from token ids without data, with a {setup.cache} cache: {said}"
        ) from error


def _as_training(setup: GenerateSetup) -> TrainSetup:
    """What loading needs to know, in the words of fine-tuning."""
    return TrainSetup(
        method="lora",
        scheme=setup.scheme,
        double_quant=setup.double_quant,
        dtype=setup.dtype,
        attention=setup.attention,
        prepare_kbit=False,
        gradient_checkpointing=False,
    )


class _Loop:
    """Prefill and decode one batch."""

    def __init__(self, model: Any, setup: GenerateSetup, tracer: Tracer) -> None:
        self.model = model
        self.setup = setup
        self.tracer = tracer
        self.step = 0
        tracer.answer = self._answer
        self.length = 0
        self.cache: Any = None
        self.away: set[int] = set()

    def run(self, *, every_step: bool) -> None:
        setup, tracer = self.setup, self.tracer
        shape = (setup.batch_size, setup.prompt_len)
        ids = torch.empty(shape, dtype=torch.int64, device="meta")
        mask = torch.empty(shape, dtype=torch.int64, device="meta")
        for tensor in (ids, mask):
            tracer.label(tensor, MemoryKind.INPUTS, "")
        self.cache = self._make_cache()
        steps = setup.max_new_tokens - 1
        tracer.mark("forward", 0, reset=True)
        ids, mask = self._forward(ids, mask, prefill=True)
        skipped = 0 if every_step or steps <= 2 * TRACED_STEPS else steps - 2 * TRACED_STEPS
        for step in range(1, steps + 1):
            if skipped and step == TRACED_STEPS + 1:
                tracer.mark("forward", TRACED_STEPS + skipped)
                self._grow(skipped)
                ids = torch.empty((shape[0], ids.shape[1] + skipped), dtype=torch.int64, device="meta")
                mask = torch.empty_like(ids)
            if skipped and TRACED_STEPS < step <= TRACED_STEPS + skipped:
                continue
            self.step = step
            tracer.mark("forward", step, reset=step in {1, steps})
            ids, mask = self._forward(ids, mask, prefill=False)

    def _answer(self, tensor: Any) -> bool | int | float:
        """What the data would say: no padding anywhere, so masks are all ones; counters count tokens."""
        if tensor.dtype == torch.bool:
            return True
        return 1.0 if tensor.dtype.is_floating_point else self.length

    def _forward(self, ids: Any, mask: Any, *, prefill: bool) -> tuple[Any, Any]:
        """One step of ``_sample``: the model, the last position's logits in float32, the next token."""
        inputs = self.model.prepare_inputs_for_generation(
            ids,
            next_sequence_length=None if prefill else 1,
            past_key_values=self.cache,
            attention_mask=mask,
            use_cache=True,
            is_first_iteration=prefill,
            **({"logits_to_keep": 1} if self.model._supports_logits_to_keep() else {}),
        )
        outputs = self.model(**inputs, return_dict=True)
        self.cache = outputs.past_key_values
        self.length = ids.shape[1]
        scores = outputs.logits[:, -1].to(copy=True, dtype=torch.float32)
        tokens = torch.argmax(scores, dim=-1)
        ids = torch.cat([ids, tokens[:, None]], dim=-1)
        mask = torch.cat([mask, mask.new_ones((mask.shape[0], 1))], dim=-1)
        self._label()
        return ids, mask

    def _label(self) -> None:
        for number, layer in enumerate(self.cache.layers):
            for tensor in _tensors(layer):
                self.tracer.label(tensor, MemoryKind.CACHE, f"cache.layers.{number}")

    def _make_cache(self) -> Any:
        """The cache ``generate`` would prepare: transformers/generation/utils.py, ``_prepare_cache_for_generation``."""
        from transformers import DynamicCache, QuantizedCache, StaticCache

        config, kind = self.model.config.get_text_config(decoder=True), self.setup.cache
        try:
            if kind == "static":
                length = self.setup.prompt_len + self.setup.max_new_tokens - 1
                return StaticCache(config=config, max_cache_len=length)
            if kind == "quantized":
                return QuantizedCache("fp8", config)
        except ValueError as error:
            said = " ".join(str(error).split())
            raise InspectorError(f"this model has no {kind} cache: {said[:160]}") from error
        cache = DynamicCache(config=config)
        if kind == "offloaded":
            self.away = _offload_on_meta(cache, self.tracer)
        return cache

    def _grow(self, tokens: int) -> None:
        """Leave every layer as ``tokens`` more updates would: the same classes, the final shapes."""
        self.length += tokens
        for number, layer in enumerate(self.cache.layers):
            if number in self.away:
                with _unseen(self.tracer):
                    _grow_layer(layer, tokens)
                self.tracer.ignore(_tensors(layer))
            else:
                _grow_layer(layer, tokens)
        self._label()

    def layers(self) -> Iterator[LayerCache]:
        """The cache as it is, a sequence at a time: read off the tensors, not computed."""
        for layer in self.cache.layers:
            tensors = list(_tensors(layer))
            keys, values = getattr(layer, "keys", None), getattr(layer, "values", None)
            growing = [keys, values] if isinstance(keys, torch.Tensor) and keys.dim() == 4 else []
            if quantized := getattr(layer, "_quantized_keys", None):
                growing = [quantized[0], layer._quantized_values[0]]
            token = sum(t.shape[1] * t.shape[3] * t.element_size() for t in growing)
            state = sum(_nbytes(t) for t in tensors if not any(t is g for g in growing) and t.dim() > 1)
            window = getattr(layer, "sliding_window", None)
            if window is None and getattr(layer, "is_sliding", False):
                window = layer.max_cache_len
            kind: Kind = "sliding" if window else "full" if growing else "linear" if tensors else "none"
            yield LayerCache(kind, token, window, state // self.setup.batch_size)

    def cache_bytes(self) -> int:
        """Bytes of the cache's tensors, whole batch; views count what they show."""
        return sum(_nbytes(tensor) for layer in self.cache.layers for tensor in _tensors(layer))


def _nbytes(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())


def _tensors(layer: Any) -> Iterator[Any]:
    """Every tensor a cache layer holds, on the device."""
    for value in vars(layer).values():
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,):
            if isinstance(item, torch.Tensor) and item.device.type == "meta" and item.numel():
                yield item


def _grow_layer(layer: Any, tokens: int) -> None:
    """``tokens`` more updates at once."""
    from transformers import cache_utils

    if isinstance(layer, cache_utils.StaticLayer) or not hasattr(layer, "keys"):
        if isinstance(getattr(layer, "cumulative_length_int", None), int):
            layer.cumulative_length_int += tokens
        return
    if isinstance(layer, cache_utils.Fp8QuantizedLayer):
        for name in ("_quantized_keys", "_quantized_values"):
            stored, scale = getattr(layer, name)
            setattr(layer, name, (_longer(stored, tokens), scale))
        layer.cumulative_length += tokens
        return
    if not isinstance(layer, cache_utils.DynamicLayer) or not layer.is_initialized or layer.keys.dim() != 4:
        return
    if isinstance(layer, cache_utils.DynamicSlidingWindowLayer):
        kept = layer.sliding_window
        layer.cumulative_length += tokens
        for name in ("keys", "values"):
            old = getattr(layer, name)
            size = min(old.shape[2] + tokens, kept)
            grown = _longer(old, size - old.shape[2])
            setattr(layer, name, grown[:, :, -kept + 1 :, :] if size == kept else grown)
        return
    layer.keys, layer.values = _longer(layer.keys, tokens), _longer(layer.values, tokens)


def _longer(tensor: Any, tokens: int) -> Any:
    batch, heads, length, size = tensor.shape
    return torch.empty((batch, heads, length + tokens, size), dtype=tensor.dtype, device=tensor.device)


@contextmanager
def _unseen(tracer: Tracer) -> Iterator[None]:
    """What is made in here is in host memory."""
    tracer.__exit__(None, None, None)
    try:
        yield
    finally:
        tracer.__enter__()


def _offload_on_meta(cache: Any, tracer: Tracer) -> set[int]:
    """``DynamicCache(offloading=True)`` on shapes: a layer's tensors leave the device after its update.

    Source: transformers/cache_utils.py, ``Cache.update`` (prefetch the next layer, update, offload this one),
    ``CacheLayerMixin.offload`` and ``prefetch``. Copies in host memory are not followed. Returns the numbers of the
    layers that are away, as they come and go.
    """
    layers = cache.layers
    inner = cache.update
    away: set[int] = set()

    def moved(tensor: Any, *, home: bool) -> Any:
        if home:
            return torch.empty_like(tensor)
        with _unseen(tracer):
            copy = torch.empty_like(tensor)
        tracer.ignore([copy])
        return copy

    def move(number: int, *, home: bool) -> None:
        layer = layers[number]
        if getattr(layer, "is_initialized", False) and (number in away) == home and hasattr(layer, "keys"):
            layer.keys, layer.values = moved(layer.keys, home=home), moved(layer.values, home=home)
            (away.discard if home else away.add)(number)

    def update(keys: Any, values: Any, layer_idx: int, *args: Any, **kwargs: Any) -> Any:
        move(layer_idx, home=True)
        move((layer_idx + 1) % len(layers), home=True)
        result = inner(keys, values, layer_idx, *args, **kwargs)
        move(layer_idx, home=False)
        return result

    cache.update = update
    return away
