"""``device_map`` as ``from_pretrained`` resolves it: transformers' own functions, on the meta model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.errors import CannotSimulateError
from inspector.patched import patched

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from transformers import PreTrainedModel
    from transformers.quantizers.base import HfQuantizer

    from inspector.simulate.program.stored.loader import Loader
    from inspector.simulate.setup.device_map import DeviceMap

HOST = 2**50
"""What a host of unknown size offers: more than any model takes."""
FINEST = 2**24
"""Missing bytes are found to 16 MiB, from above."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where each module goes: a card's number, ``cpu`` or ``disk``, by the paths of the map.

    ``refused`` is the sentence by which the quantizer refuses the map, "" where it takes it; ``missing`` are the bytes
    that each card would need on top for nothing to go to the host, 0 where nothing does.
    """

    device_map: Mapping[str, int | str]
    refused: str = ""
    missing: int = 0

    def where(self, path: str) -> int | str:
        """A module's place: that of the longest path in the map which it is below, else the main card."""
        path = path.removeprefix("base_model.model.")  # under PEFT the map is of the model inside
        while path:
            if path in self.device_map:
                return self.device_map[path]
            path = path.rpartition(".")[0]
        return self.device_map.get("", self.main)

    @property
    def main(self) -> int:
        """The card where inputs, outputs, and whatever is offloaded are computed (``dispatch_model``, main_device)."""
        return min((place for place in self.device_map.values() if isinstance(place, int)), default=0)

    def card(self, path: str) -> int:
        """The card that a module's forward runs on."""
        place = self.where(path)
        return place if isinstance(place, int) else self.main

    @property
    def off_cards(self) -> bool:
        """Whether anything goes to the host."""
        return any(not isinstance(place, int) for place in self.device_map.values())


class _Sizes:
    """What `_get_device_map` asks of a quantizer, answered by how the tensors of a stored format arrive."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def param_element_size(self, _model: object, name: str, tensor: torch.Tensor) -> float:
        return self.loader.element_size(name, tensor)

    def adjust_max_memory(self, max_memory: dict[int | str, float]) -> dict[int | str, float]:
        return max_memory

    def validate_environment(self, **_: object) -> None:
        """Nothing to refuse."""


def placed(model: PreTrainedModel, loader: Loader | None, asked: DeviceMap, free: int) -> Placement:
    """The map that ``from_pretrained`` makes before anything is loaded.

    Args:
        model: on the meta device, its quantized layers in place.
        loader: how its weights arrive; None for plain ones.
        asked: what ``device_map`` and ``max_memory`` say.
        free: bytes that each card offers (``torch.cuda.mem_get_info``).

    Raises:
        CannotSimulateError: where accelerate itself refuses.

    Source: transformers/integrations/accelerate.py, ``_get_device_map``, ``get_balanced_memory``,
    ``infer_auto_device_map``.
    """
    quantizer: HfQuantizer | _Sizes | None = None
    if loader is not None:
        quantizer = loader.quantizer or _Sizes(loader)
    found = _map(model, quantizer, asked, free, 0)
    if not found.off_cards:
        return found
    return Placement(found.device_map, found.refused, _missing(model, quantizer, asked, free))


def _map(
    model: PreTrainedModel, quantizer: HfQuantizer | _Sizes | None, asked: DeviceMap, free: int, more: int
) -> Placement:
    from transformers.integrations import accelerate

    usual = accelerate.accelerate_max_memory

    def offered(max_memory: dict[int | str, int] | None = None) -> Any:
        # As accelerate asks the driver where nothing was given: every card, and the host.
        return (
            usual(max_memory)
            if max_memory is not None
            else {**dict.fromkeys(range(asked.cards), free + more), "cpu": HOST}
        )

    given = {place: size + more * isinstance(place, int) for place, size in asked.max_memory} or None
    refused = ""
    with patched({"transformers.integrations.accelerate.accelerate_max_memory": offered}):
        try:
            made = accelerate._get_device_map(model, asked.how, given, None if quantizer is None else _Late(quantizer))
        except _RefusedError as error:
            made, refused = error.device_map, str(error)
        except (ValueError, IndexError, KeyError, RuntimeError) as error:
            raise CannotSimulateError(f"accelerate makes no device_map of {type(model).__name__}: {error}") from error
    return Placement(dict(made), refused)


class _RefusedError(Exception):
    """A quantizer refused the map that was made."""

    def __init__(self, said: str, device_map: Mapping[str, int | str]) -> None:
        super().__init__(said)
        self.device_map = device_map


class _Late:
    """A quantizer whose refusal comes with the map that it refused."""

    def __init__(self, quantizer: HfQuantizer | _Sizes) -> None:
        self._quantizer = quantizer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._quantizer, name)

    def validate_environment(self, *, device_map: Mapping[str, int | str]) -> None:
        try:
            self._quantizer.validate_environment(device_map=device_map)
        except ValueError as error:
            raise _RefusedError(str(error).strip(), device_map) from error


def _missing(model: PreTrainedModel, quantizer: HfQuantizer | _Sizes | None, asked: DeviceMap, free: int) -> int:
    """The fewest bytes more on every card with which the same functions leave nothing to the host, by halving."""
    low, high = 0, FINEST
    while _map(model, quantizer, asked, free, high).off_cards:
        low, high = high, 2 * high
        if high > HOST:
            return 0
    while high - low > FINEST:
        middle = (low + high) // 2
        if _map(model, quantizer, asked, free, middle).off_cards:
            low = middle
        else:
            high = middle
    return high
