"""A model dispatched over cards: what accelerate's hooks copy between them, and what they bring from the host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from inspector.memory_kinds import MemoryKind
from inspector.simulate.program.arrival import as_it_is, load_on_device
from inspector.simulate.program.device_map import Placement, placed
from inspector.simulate.program.stored.layers import is_packed
from inspector.simulate.program.stored.loader import own_size

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.program.stored.loader import Loader
    from inspector.simulate.setup.device_map import DeviceMap
    from inspector.simulate.tracing.cards_tracer import CardsTracer


class _Across(torch.autograd.Function):
    """``tensor.to(card)``, whose backward brings the gradient back."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, tracer: CardsTracer, card: int) -> torch.Tensor:
        ctx.tracer, ctx.home = tracer, tracer.card_of(tensor)
        return tracer.copied(tensor, card)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        return ctx.tracer.copied(grad, ctx.home), None, None


class Spread:
    """``from_pretrained`` with ``device_map``: the map, then each tensor on the card of its module.

    ``placement`` is there once a model was loaded, with the bytes of the weights of each place in ``sizes``, as the map
    was made by them. A map that was refused loads nothing.
    """

    def __init__(self, asked: DeviceMap, free: int) -> None:
        self.asked, self.free = asked, free
        self.placement = Placement({})
        self.sizes: dict[int | str, int] = {}

    def card(self, path: str) -> int:
        """The card of a module; the first before there is a map."""
        return self.placement.card(path)

    def load(self, model: PreTrainedModel, loader: Loader | None, tracer: CardsTracer) -> None:
        """Raises CannotSimulateError where accelerate makes no map."""
        self.placement = placement = placed(model, loader, self.asked, self.free)
        size = own_size if loader is None else loader.element_size
        tied = set(getattr(model, "all_tied_weights_keys", None) or ())
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if name not in tied:
                place = placement.where(name)
                self.sizes[place] = self.sizes.get(place, 0) + int(tensor.numel() * size(name, tensor))
        if placement.refused:
            return
        if loader is None or loader.warms_up:
            self._warm_up(model, tracer, tied, size)
        with tracer:
            load_on_device(model, self._arriving(loader, tracer), is_packed)
            tracer.module = ""
            if loader is not None:
                loader.finish()
        for path, module in model.named_modules():
            for buffer in module.buffers(recurse=False):
                # Made when all weights are there, on the card that its module runs on.
                tracer.lies_on(buffer, placement.card(path))

    def _arriving(self, loader: Loader | None, tracer: CardsTracer) -> Any:
        arriving = as_it_is if loader is None else loader.arriving

        def arrives(name: str, old: torch.Tensor) -> Any:
            if not isinstance(self.placement.where(name), int):
                return old  # stays on the host
            # What is made of nothing lies where the module is that runs, or is loaded.
            tracer.module = name.rpartition(".")[0]
            return arriving(name, old)

        return arrives

    def _warm_up(
        self, model: nn.Module, tracer: CardsTracer, tied: set[str], size: Callable[[str, torch.Tensor], float]
    ) -> None:
        """`inspector.simulate.program.arrival.warm_up` of each card, for what goes there."""
        totals: dict[int, float] = {}
        for name, tensor in model.state_dict().items():
            place = self.placement.where(name)
            if name not in tied and isinstance(place, int):
                totals[place] = totals.get(place, 0) + tensor.numel() * size(name, tensor)
        for card, total in sorted(totals.items()):
            with tracer.on(card):
                tracer.transient([int(total // 2) * 2], "transformers::caching_allocator_warmup")


class Dispatch:
    """``dispatch_model``: a hook on every module of the map, put there before the tracer's own.

    Source: accelerate/big_modeling.py, ``dispatch_model``, and hooks.py, ``attach_align_device_hook_on_blocks`` and
    ``AlignDevicesHook``: inputs go to the module's card, outputs stay there but for the whole model's, which go back
    to where its inputs were; what lies on the host comes to the main card for each forward, module by module.
    """

    def __init__(self, model: nn.Module, placement: Placement, tracer: CardsTracer) -> None:
        self.placement = placement
        self.tracer = tracer
        self.skipped = set(getattr(model, "_skip_keys_device_placement", None) or ())
        self._held: dict[int, list[torch.Tensor]] = {}
        base: nn.Module = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
        for path, place in placement.device_map.items():
            try:
                module = base.get_submodule(path)
            except AttributeError:  # a parameter of its own
                continue
            if not isinstance(place, int):
                for part in module.modules():
                    if any(True for _ in part.parameters(recurse=False)):
                        part.register_forward_pre_hook(self._brings)
                        part.register_forward_hook(self._drops, always_call=True)
            card = placement.main if not isinstance(place, int) else place
            module.register_forward_pre_hook(self._sends(card), with_kwargs=True)
        if "" not in placement.device_map:
            base.register_forward_hook(self._returns)

    def _sends(self, card: int) -> Any:
        def sent(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return self._moved(args, card), {
                name: value if name in self.skipped else self._moved(value, card) for name, value in kwargs.items()
            }

        return sent

    def _returns(self, _module: nn.Module, _args: object, output: object) -> Any:
        return self._moved(output, self.placement.main)

    def _moved(self, value: object, card: int) -> Any:
        """As ``send_to_device`` (accelerate/utils/operations.py)."""
        if isinstance(value, torch.Tensor):
            if value.requires_grad and self.tracer.card_of(value) not in {None, card}:
                return _Across.apply(value, self.tracer, card)
            return self.tracer.copied(value, card)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(self._moved(item, card) for item in value))
        if isinstance(value, (list, tuple)):
            return type(value)(self._moved(item, card) for item in value)
        if isinstance(value, Mapping):
            moved = {name: item if name in self.skipped else self._moved(item, card) for name, item in value.items()}
            return type(value)(moved)  # type: ignore[call-arg]
        return value

    def _brings(self, module: nn.Module, _args: object) -> None:
        held = []
        with self.tracer.on(self.placement.main):
            for parameter in module.parameters(recurse=False):
                made = torch.ops.aten._to_copy.default(parameter.detach())
                self.tracer.label(made, MemoryKind.BASE_WEIGHTS, self.tracer.names.get(id(module), ""))
                held.append(made)
        self._held[id(module)] = held

    def _drops(self, module: nn.Module, _args: object, _output: object) -> None:
        self._held.pop(id(module), None)
