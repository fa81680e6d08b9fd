"""Generation, traced: load, prefill the prompt, decode token by token, with transformers' real cache classes.

Every step is the model's own forward on shapes, in the loop of `inspector.simulate.program.decoding_loop`.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.quiet import quiet
from inspector.errors import CannotSimulateError
from inspector.simulate.device.cuda import as_on
from inspector.simulate.device.kernels import cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.program import encoding, global_attention, routing
from inspector.simulate.program.convolutions import note_convolutions
from inspector.simulate.program.decoding_loop import Decoding
from inspector.simulate.program.dispatch import Dispatch, Spread
from inspector.simulate.program.inputs import described
from inspector.simulate.program.load import head_path, keeps_fp8, label_model, load_model
from inspector.simulate.program.looks import check_forward, is_encoder_decoder
from inspector.simulate.program.own_loops import own_loop
from inspector.simulate.program.position_limits import check_positions
from inspector.simulate.program.refusals import of_the_model
from inspector.simulate.tracing.cards_tracer import CardsTracer
from inspector.simulate.tracing.following import follow_modules
from inspector.simulate.tracing.tracer import Tracer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from inspector.lenses.kv_cache import LayerCache
    from inspector.simulate.events import Event
    from inspector.simulate.program.device_map import Placement
    from inspector.simulate.program.stored.loader import Loader
    from inspector.simulate.setup.device_map import DeviceMap
    from inspector.simulate.setup.generation import GenerateSetup


@dataclass(frozen=True, slots=True)
class GenerateTrace:
    """The events, and what the cache was when the last token had been decoded.

    The stage ``forward`` of step 0 is the prefill, that of step n the n-th decoding step. ``layers`` is read off the
    real cache; ``layer_bytes`` counts each layer's bytes, whole batch. Of an encoder-decoder the prefill has the
    encoder and the first token; ``cross`` are the layers' caches of what the encoder gave, ``source`` its positions,
    ``inputs`` what it was given in words, and ``one_size`` whether that is the same for any prompt.
    """

    events: tuple[Event, ...]
    layers: tuple[LayerCache, ...]
    layer_bytes: tuple[int, ...]
    last_step: int
    notes: tuple[str, ...] = ()
    cross: tuple[LayerCache, ...] = ()
    source: int = 0
    inputs: str = ""
    one_size: bool = False

    @property
    def cache_bytes(self) -> int:
        """Bytes of the whole cache."""
        return sum(self.layer_bytes)


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
    found = traced_generation(config, setup, device, tracer, every_step=every_step)
    assert found is not None  # only a map of several cards is refused
    return found


@dataclass(frozen=True, slots=True)
class CardsTrace:
    """A generation on several cards: where modules are, the weights' bytes of each place, and the card of each block.

    ``trace`` is None, and ``cards`` empty, where transformers refuses to load the model so.
    """

    placement: Placement
    sizes: Mapping[int | str, int]
    trace: GenerateTrace | None
    cards: Mapping[int, int]


def trace_on_cards(
    config: Mapping[str, Any],
    setup: GenerateSetup,
    capability: tuple[int, int],
    multiprocessors: int,
    asked: DeviceMap,
    free: int,
) -> CardsTrace:
    """As `trace_generate`, the model spread by ``device_map``, each card with ``free`` bytes. Raises as it does."""
    device = Device(capability, multiprocessors)
    spread = Spread(asked, free)
    with quiet():
        tracer = CardsTracer(cuda_kernels(device), spread.card)
    found = traced_generation(config, setup, device, tracer, spread=spread)
    return CardsTrace(spread.placement, spread.sizes, found, tracer.cards if found else {})


def traced_generation(
    config: Mapping[str, Any],
    setup: GenerateSetup,
    device: Device,
    tracer: Tracer,
    *,
    every_step: bool = False,
    spread: Spread | None = None,
    around: AbstractContextManager[None] | None = None,
    loads: Callable[[Any, Loader | None], None] | None = None,
) -> GenerateTrace | None:
    """`trace_generate` with a tracer of any kind; None where a map of several cards is refused.

    ``around`` is entered on the device, before the model is loaded; ``loads`` puts its weights where they go.
    """
    # ``generate`` runs without gradients: the kernels keep nothing for a backward pass.
    with as_on(device, tracer.page, fp8=keeps_fp8(setup.load)), torch.no_grad(), around or nullcontext():
        tracer.mark("load", -1)
        model = load_model(config, setup.load, tracer, spread=loads or _loading(spread, tracer))
        if spread is not None and spread.placement.refused:
            return None
        if not hasattr(model, "prepare_inputs_for_generation"):
            raise CannotSimulateError(f"{type(model).__name__} does not generate text")
        check_forward(model)
        both = is_encoder_decoder(model)
        # One less, as the last token of an answer is not fed back.
        answer = setup.max_new_tokens - 1
        if both:
            check_positions(model, setup.prompt_len, tracer, encoding.STARTS_FROM + answer)
        else:
            check_positions(model, setup.prompt_len + answer, tracer)
        model.eval()
        if said := own_loop(model):
            tracer.notes.append(said)
        label_model(model, tracer)
        if spread is not None and isinstance(tracer, CardsTracer):
            Dispatch(model, spread.placement, tracer)
        loop = Decoding(model, setup, tracer)
        global_attention.install(tracer, model)  # after the loop has said how it answers
        routing.install(tracer, config, setup.routing)
        with (
            of_the_model(_doing(model, setup), config),
            follow_modules(tracer, list(model.named_modules()), head_path(model)),
            tracer,
        ):
            loop.run(every_step=every_step)
        tracer.stop()
    note_convolutions(tracer)
    return GenerateTrace(
        tracer.events(),
        loop.layers(),
        loop.layer_bytes(),
        loop.step,
        tuple(tracer.notes),
        loop.cross(),
        loop.source,
        described(loop.inputs) if both else "",
        not encoding.takes_any_length(model, setup),
    )


def _loading(spread: Spread | None, tracer: Tracer) -> Callable[[Any, Loader | None], None] | None:
    if spread is None or not isinstance(tracer, CardsTracer):
        return None
    return lambda model, loader: spread.load(model, loader, tracer)


def _doing(model: torch.nn.Module, setup: GenerateSetup) -> str:
    return f"{type(model).__name__} does not generate without data, with a {setup.cache} cache"
