"""The loop of generation: ``GenerationMixin._sample`` of transformers/generation/utils.py, greedy, or its beam search.

Of a long answer only the first and the last steps are traced; in between, the cache is grown to its final length at
once, to what its own ``update`` would leave. A test holds the last step equal to that of a run in which every step is
traced.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import torch

from inspector.memory_kinds import MemoryKind
from inspector.simulate.program import encoding
from inspector.simulate.program.beams import Beams
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
from inspector.simulate.program.looks import is_encoder_decoder
from inspector.simulate.tracing.answers import answers

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from transformers import PreTrainedModel

    from inspector.lenses.kv_cache import LayerCache
    from inspector.simulate.setup.generation import GenerateSetup
    from inspector.simulate.tracing.tracer import Tracer

TRACED_STEPS = 3
"""Decoding steps traced at each end of the answer."""


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
        self.beams: Beams | None = None
        self.kwargs: dict[str, Any] = {}

    @property
    def cache(self) -> Any:
        """The cache, by whatever name the model takes it; None when it keeps none."""
        from transformers.generation.utils import ALL_CACHE_NAMES

        return next((self.kwargs[name] for name in ALL_CACHE_NAMES if self.kwargs.get(name) is not None), None)

    def run(self, *, every_step: bool) -> None:
        """Prefill, then decode; between the traced ends of a long answer the cache is grown at once."""
        from transformers import Cache

        setup = self.setup
        ids = self._begun() if self.both else self._prompt()
        if setup.num_beams > 1:
            self.beams = Beams(self.model, ids, setup.num_beams, setup.max_new_tokens)
        steps = setup.max_new_tokens - 1
        self.kwargs["use_cache"] = True
        if self.model._supports_logits_to_keep():
            # As ``generate`` does where it can, to spare the logits of a whole prompt.
            self.kwargs["logits_to_keep"] = 1
        ids = self._forward(ids, prefill=True)
        own = self.cache is not None and not isinstance(self.cache, Cache)  # nobody knows how it grows
        skipped = 0 if every_step or own or steps <= 2 * TRACED_STEPS else steps - 2 * TRACED_STEPS
        last = range(steps - TRACED_STEPS + 1, steps + 1)
        with self._as_it_decodes():
            for step in (*range(1, TRACED_STEPS + 1), *last) if skipped else range(1, steps + 1):
                if skipped and step == last[0]:
                    # What growing takes and frees goes to a stage of its own: the last steps are as they would be.
                    self._mark(step - 1, reset=False)
                    self._grow(skipped)
                    ids = self._longer(ids, skipped)
                self.step = step
                self._mark(step, reset=step in {1, steps})
                ids = self._forward(ids, prefill=False)

    def _as_it_decodes(self) -> AbstractContextManager[None]:
        """Mixtures copy the chosen experts' weights for each token then (``_optimize_model_for_decode``); beams do not.

        A model with a loop of its own has none of that.
        """
        model: Any = self.model
        own = self.beams is not None or not hasattr(model, "_optimize_model_for_decode")
        return contextlib.nullcontext() if own else model._optimize_model_for_decode()

    def _longer(self, ids: torch.Tensor, tokens: int) -> Any:
        """Ids as they are after so many more tokens; beams have room for the whole answer from the beginning."""
        fresh = self._fresh(ids.shape[1] + tokens)
        if self.beams is None:
            return fresh
        self.beams.length += tokens
        return self.beams.ids

    def _prompt(self) -> Any:
        """The prompt's ids, with a cache beside them; the prefill begins."""
        setup = self.setup
        self._take_cache(setup.prompt_len)
        ids = self._fresh(setup.prompt_len)
        self._mark(0, reset=True)
        return self._expanded(ids)

    def _begun(self) -> Any:
        """The ids that a decoder starts from, when its encoder has read the source and the cache is there."""
        self.given = encoding.given(self.model, self.inputs, self.tracer)
        self._mark(0, reset=True)
        ids, self.kwargs = encoding.encoded(self.model, self.given)
        read = self.kwargs["encoder_outputs"][0]
        self.source, self.length = read.shape[1], ids.shape[1]
        del read
        ids = self._expanded(ids)
        self._take_cache(ids.shape[1])
        return ids

    def _expanded(self, ids: torch.Tensor) -> Any:
        """A row for each beam, of whatever the model is given."""
        made, self.kwargs = self.model._expand_inputs_for_generation(
            self.setup.num_beams, self.both, ids, **self.kwargs
        )
        if self.both:
            # What the decoder is given, as long as it answers.
            self.tracer.label(self.kwargs["encoder_outputs"][0], MemoryKind.INPUTS, "")
        return made

    def _take_cache(self, tokens: int) -> None:
        # ``generate`` makes a static cache for one token less than what it begins with and the answer have.
        name, cache = make_cache(self.model, self.setup.cache, tokens + self.setup.max_new_tokens - 1, self.source)
        if cache is not None:
            self.kwargs[name] = cache
            if self.setup.cache == "offloaded":
                self.away = offload_on_meta(cache, self.tracer)

    def _fresh(self, length: int) -> Any:
        """Token ids for so many tokens; of a decoder alone, with a mask of ones beside them."""
        shape = (self.setup.batch_size if self.beams is None else self.setup.sequences, length)
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
        # Of a beam search they are let go here, of a sampling when the token is there.
        if self.beams is not None:
            del outputs
            self._reorder(self.beams.step(scores))
            self.beams.length += 1
            ids = self.beams.ids
        else:
            tokens = self._next(scores)
            ids = torch.cat([ids, tokens[:, None]], dim=-1)
        self._label()
        return ids

    def _mark(self, step: int, *, reset: bool) -> None:
        """A step begins: 0 is the prefill."""
        self.tracer.mark("forward", step, reset=reset)

    def _next(self, scores: torch.Tensor) -> torch.Tensor:
        """The next token of each row."""
        return torch.argmax(scores, dim=-1)

    def _reorder(self, beams: torch.Tensor) -> None:
        """Every beam's cache becomes that of the beam which it continues."""
        model: Any = self.model
        if hasattr(model, "_reorder_cache"):
            name = next(name for name, value in self.kwargs.items() if value is self.cache)
            self.kwargs[name] = model._reorder_cache(self.cache, beams)
        elif self.cache is not None:
            self.cache.reorder_cache(beams)

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
        return tuple(read_layers(self.cache, self.setup.sequences))

    def cross(self) -> tuple[LayerCache, ...]:
        """What the layers keep of an encoder's output."""
        return tuple(read_layers(cross_cache(self.cache), self.setup.sequences))

    def layer_bytes(self) -> tuple[int, ...]:
        """Bytes of each layer's tensors, whole batch; views count what they show. What the encoder gave comes last."""
        layers = (*cache_layers(self.cache), *cache_layers(cross_cache(self.cache)))
        return tuple(sum(map(tensor_bytes, tensors_of(layer))) for layer in layers)
