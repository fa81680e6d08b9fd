"""Layers laid out in turn over cards (``device_map``), trained by one process: a trace of each card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.architecture.quiet import quiet
from inspector.errors import CannotSimulateError
from inspector.simulate.device.cuda import as_on
from inspector.simulate.device.kernels import cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.parallel.rank_trace import RankTrace, Unit
from inspector.simulate.program import routing
from inspector.simulate.program.convolutions import note_convolutions
from inspector.simulate.program.dispatch import Dispatch, Spread
from inspector.simulate.program.inputs import described
from inspector.simulate.program.load import keeps_fp8
from inspector.simulate.program.spread import Alone
from inspector.simulate.program.training import Loop
from inspector.simulate.reports.of_card import events_of
from inspector.simulate.setup.device_map import DeviceMap
from inspector.simulate.tracing.answers import answers
from inspector.simulate.tracing.cards_tracer import CardsTracer

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import nn

    from inspector.simulate.program.stored.loader import Loader
    from inspector.simulate.setup.training import TrainSetup
    from inspector.simulate.tracing.tracer import Tracer


class Mapped(Alone):
    """The program of one card, its model spread as it is loaded and dispatched once it is adapted."""

    def __init__(self, spread: Spread, tracer: CardsTracer) -> None:
        self.spread = spread
        self.tracer = tracer

    def loads(self, model: Any, loader: Loader | None) -> None:
        """Raises CannotSimulateError for a map that transformers refuses, with what is missing."""
        self.spread.load(model, loader, self.tracer)
        placement = self.spread.placement
        if placement.refused:
            missing = f"{placement.missing / 2**30:.2f} GiB more on each card would keep all on cards"
            raise CannotSimulateError(placement.refused, hint=missing)
        if placement.off_cards:
            raise CannotSimulateError(
                "accelerate leaves modules on the host, which cannot be trained there",
                hint=f"{placement.missing / 2**30:.2f} GiB more on each card would keep all on cards",
            )

    def wrapped(self, model: nn.Module, _tracer: Tracer) -> Any:
        """Adapters lie where the layer is that they adapt (PEFT, ``_move_adapter_to_device_of_base_layer``)."""
        for name, parameter in model.named_parameters():
            self.tracer.lies_on(parameter, self.spread.card(name))
        Dispatch(model, self.spread.placement, self.tracer)
        self._labels_follow(model)
        return model

    def _labels_follow(self, model: Any) -> None:
        """Labels go to the card of the logits before they are shifted (transformers/loss/loss_utils.py)."""
        whole: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
        computed, tracer = getattr(whole, "loss_function", None), self.tracer
        if computed is None:
            return

        def loss(logits: torch.Tensor, labels: torch.Tensor, *args: object, **kwargs: object) -> Any:
            card = tracer.card_of(logits)
            return computed(logits, labels if card is None else tracer.copied(labels, card), *args, **kwargs)

        whole.loss_function = loss


def trace_mapped(
    config: Mapping[str, Any],
    setup: TrainSetup,
    cards: int,
    free: int,
    capability: tuple[int, int],
    multiprocessors: int,
) -> tuple[RankTrace, ...]:
    """A trace of each card, the loading and training of a model over ``cards`` with ``free`` bytes each.

    Raises CannotSimulateError where the map leaves something to the host, or the model refuses.
    """
    device = Device(capability, multiprocessors)
    loop = setup.loop
    spread = Spread(DeviceMap("auto", cards), free)
    with quiet():
        tracer = CardsTracer(cuda_kernels(device), spread.card)
    tracer.answer = answers(lambda: setup.batch.seq_len, masks=not (setup.batch.packed or setup.batch.padded))
    routing.install(tracer, config, setup.routing)
    kernels: dict[str, Any] = {
        "sdpa_backend": loop.sdpa_backend, "autocast": loop.autocast, "fp8": keeps_fp8(setup.load),
    }  # fmt: skip
    with as_on(device, tracer.page, **kernels, routing=setup.routing) as autocast:
        training = Loop(config, setup, tracer, autocast, Mapped(spread, tracer))
        training.run()
    note_convolutions(tracer)
    events, inputs = tracer.events(), "" if training.next_tokens else described(training.inputs)
    return tuple(
        RankTrace(
            rank=card,
            world_size=cards,
            events=events_of(events, tracer.cards, card),
            steps=loop.steps,
            units=_units(spread, card),
            paged_bytes=tracer.paged_bytes if card == 0 else 0,
            notes=tuple(tracer.notes),
            questions=device.questions,
            inputs=inputs,
        )
        for card in range(cards)
    )


def _units(spread: Spread, card: int) -> tuple[Unit, ...]:
    """What the card has of the model, as one: nothing of it is gathered."""
    size = spread.sizes.get(card, 0)
    return (Unit("", "modules of the map", size, size),)
