"""Generation, traced: load, prefill the prompt, decode token by token, with transformers' real cache classes.

The loop is that of ``GenerationMixin._sample`` (transformers/generation/utils.py), greedy. Every step is the model's
own forward on shapes. Of a long answer only the first and the last steps are traced; in between, the cache is grown to
its final length at once, to what its own ``update`` would leave. A test holds the last step equal to that of a run in
which every step is traced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.quiet import quiet
from inspector.errors import CannotSimulateError
from inspector.memory_kinds import MemoryKind
from inspector.simulate.device.cuda import as_on
from inspector.simulate.device.kernels import cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.program import encoding, routing
from inspector.simulate.program.inputs import described, is_encoder_decoder
from inspector.simulate.program.kv_caches import (
    cache_layers,
    cross_cache,
    grow_layer,
    make_cache,
    offload_on_meta,
    read_layers,
    tensor_bytes,
    tensors_of,
    unseen,
)
from inspector.simulate.program.load import head_path, keeps_fp8, label_model, load_model
from inspector.simulate.program.position_limits import check_positions
from inspector.simulate.program.refusals import of_the_model
from inspector.simulate.tracing.answers import answers
from inspector.simulate.tracing.following import follow_modules
from inspector.simulate.tracing.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedModel

    from inspector.lenses.kv_cache import LayerCache
    from inspector.simulate.events import Event
    from inspector.simulate.setup.generation import GenerateSetup

TRACED_STEPS = 3
"""Decoding steps traced at each end of the answer."""


@dataclass(frozen=True, slots=True)
class GenerateTrace:
    """The events, and what the cache was when the last token had been decoded.

    The stage ``forward`` of step 0 is the prefill, that of step n the n-th decoding step. ``layers`` is read off the
    real cache; ``cache_bytes`` counts its tensors' bytes, whole batch. Of an encoder-decoder the prefill has the
    encoder and the first token; ``cross`` are the layers' caches of what the encoder gave, ``source`` its positions,
    ``inputs`` what it was given in words, and ``one_size`` whether that is the same for any prompt.
    """

    events: tuple[Event, ...]
    layers: tuple[LayerCache, ...]
    cache_bytes: int
    last_step: int
    notes: tuple[str, ...] = ()
    cross: tuple[LayerCache, ...] = ()
    source: int = 0
    inputs: str = ""
    one_size: bool = False


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
    device = Device(capability, multiprocessors)
    with quiet():
        tracer = Tracer(cuda_kernels(device))
    # ``generate`` runs without gradients: the kernels keep nothing for a backward pass.
    with as_on(device, tracer.page, fp8=keeps_fp8(setup.load)), torch.no_grad():
        tracer.mark("load", -1)
        model = load_model(config, setup.load, tracer)
        if not hasattr(model, "prepare_inputs_for_generation"):
            raise CannotSimulateError(f"{type(model).__name__} does not generate text")
        both = is_encoder_decoder(model)
        # One less, as the last token of an answer is not fed back.
        answer = setup.max_new_tokens - 1
        if both:
            check_positions(model, setup.prompt_len, tracer, encoding.STARTS_FROM + answer)
        else:
            check_positions(model, setup.prompt_len + answer, tracer)
        model.eval()
        label_model(model, tracer)
        loop = Decoding(model, setup, tracer)
        routing.install(tracer, config, setup.routing)
        with (
            of_the_model(_doing(model, setup)),
            follow_modules(tracer, model, head_path(model)),
            tracer,
        ):
            loop.run(every_step=every_step)
        tracer.stop()
    return GenerateTrace(
        tracer.events(),
        loop.layers(),
        loop.cache_bytes(),
        loop.step,
        tuple(tracer.notes),
        loop.cross(),
        loop.source,
        described(loop.inputs) if both else "",
        not encoding.takes_any_length(model, setup),
    )


def _doing(model: torch.nn.Module, setup: GenerateSetup) -> str:
    return f"{type(model).__name__} does not generate without data, with a {setup.cache} cache"


class Decoding:
    """Prefill and decode one batch."""

    def __init__(self, model: PreTrainedModel, setup: GenerateSetup, tracer: Tracer) -> None:
        self.model = model
        self.setup = setup
        self.tracer = tracer
        self.step = 0
        self.length = setup.prompt_len
        tracer.answer = answers(lambda: self.length)
        self.away: set[int] = set()
        self.both = is_encoder_decoder(model)
        self.inputs = encoding.source(model, setup) if self.both else {}
        self.source = 0
        self.kwargs: dict[str, Any] = {}

    @property
    def cache(self) -> Any:
        """The cache, by whatever name the model takes it; None when it keeps none."""
        from transformers.generation.utils import ALL_CACHE_NAMES

        return next((self.kwargs[name] for name in ALL_CACHE_NAMES if self.kwargs.get(name) is not None), None)

    def run(self, *, every_step: bool) -> None:
        """Prefill, then decode; between the traced ends of a long answer the cache is grown at once."""
        from transformers import Cache

        setup, tracer = self.setup, self.tracer
        ids = self._begun() if self.both else self._prompt()
        steps = setup.max_new_tokens - 1
        self.kwargs["use_cache"] = True
        if self.model._supports_logits_to_keep():
            # As ``generate`` does where it can, to spare the logits of a whole prompt.
            self.kwargs["logits_to_keep"] = 1
        ids = self._forward(ids, prefill=True)
        own = self.cache is not None and not isinstance(self.cache, Cache)  # nobody knows how it grows
        skipped = 0 if every_step or own or steps <= 2 * TRACED_STEPS else steps - 2 * TRACED_STEPS
        last = range(steps - TRACED_STEPS + 1, steps + 1)
        for step in (*range(1, TRACED_STEPS + 1), *last) if skipped else range(1, steps + 1):
            if skipped and step == last[0]:
                # What growing takes and frees goes to a stage of its own: the last steps are as they would be.
                tracer.mark("forward", step - 1)
                self._grow(skipped)
                ids = self._fresh(ids.shape[1] + skipped)
            self.step = step
            tracer.mark("forward", step, reset=step in {1, steps})
            ids = self._forward(ids, prefill=False)

    def _prompt(self) -> Any:
        """The prompt's ids, with a cache beside them; the prefill begins."""
        setup = self.setup
        self._take_cache(setup.prompt_len)
        ids = self._fresh(setup.prompt_len)
        self.tracer.mark("forward", 0, reset=True)
        return ids

    def _begun(self) -> Any:
        """The ids that a decoder starts from, when its encoder has read the source and the cache is there."""
        self.given = encoding.given(self.model, self.inputs, self.tracer)
        self.tracer.mark("forward", 0, reset=True)
        ids, self.kwargs = encoding.encoded(self.model, self.given)
        read = self.kwargs["encoder_outputs"][0]
        # What the decoder is given, as long as it answers.
        self.tracer.label(read, MemoryKind.INPUTS, "")
        self.source, self.length = read.shape[1], ids.shape[1]
        self._take_cache(ids.shape[1])
        return ids

    def _take_cache(self, tokens: int) -> None:
        # ``generate`` makes a static cache for one token less than what it begins with and the answer have.
        name, cache = make_cache(self.model, self.setup.cache, tokens + self.setup.max_new_tokens - 1, self.source)
        if cache is not None:
            self.kwargs[name] = cache
            if self.setup.cache == "offloaded":
                self.away = offload_on_meta(cache, self.tracer)

    def _fresh(self, length: int) -> Any:
        """Token ids for so many tokens; of a decoder alone, with a mask of ones beside them."""
        shape = (self.setup.batch_size, length)
        made = [torch.empty(shape, dtype=torch.int64, device="meta")]
        if not self.both:
            self.kwargs["attention_mask"] = torch.empty(shape, dtype=torch.int64, device="meta")
            made.append(self.kwargs["attention_mask"])
        for tensor in made:
            self.tracer.label(tensor, MemoryKind.INPUTS, "")
        return made[0]

    def _forward(self, ids: torch.Tensor, *, prefill: bool) -> Any:
        """One step of ``_sample``: the model, the last position's logits in float32, the next token."""
        inputs = self.model.prepare_inputs_for_generation(
            ids, next_sequence_length=None if prefill else 1, is_first_iteration=prefill, **self.kwargs
        )
        outputs = self.model(**inputs, return_dict=True)
        self.kwargs = self.model._update_model_kwargs_for_generation(outputs, self.kwargs, is_encoder_decoder=self.both)
        self.length = ids.shape[1]
        # A copy even of float32, as there: a view would hold the logits of the whole prompt.
        scores = outputs.logits[:, -1].to(copy=True, dtype=torch.float32)
        tokens = torch.argmax(scores, dim=-1)
        ids = torch.cat([ids, tokens[:, None]], dim=-1)
        self._label()
        return ids

    def _label(self) -> None:
        for stack, layers in (("layers", cache_layers(self.cache)), ("cross", cache_layers(cross_cache(self.cache)))):
            for number, layer in enumerate(layers):
                for tensor in tensors_of(layer):
                    self.tracer.label(tensor, MemoryKind.CACHE, f"cache.{stack}.{number}")

    def _grow(self, tokens: int) -> None:
        self.length += tokens
        for number, layer in enumerate(cache_layers(self.cache)):
            if number in self.away:
                with unseen(self.tracer):
                    grow_layer(layer, tokens)
                self.tracer.ignore(tensors_of(layer))
            else:
                grow_layer(layer, tokens)
        self._label()

    def layers(self) -> tuple[LayerCache, ...]:
        """The cache's layers as they are now."""
        return tuple(read_layers(self.cache, self.setup.batch_size))

    def cross(self) -> tuple[LayerCache, ...]:
        """What the layers keep of an encoder's output."""
        return tuple(read_layers(cross_cache(self.cache), self.setup.batch_size))

    def cache_bytes(self) -> int:
        """Bytes of the cache's tensors, whole batch; views count what they show."""
        layers = (*cache_layers(self.cache), *cache_layers(cross_cache(self.cache)))
        return sum(tensor_bytes(tensor) for layer in layers for tensor in tensors_of(layer))
