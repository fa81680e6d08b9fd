"""Which models can be traced with a few of their layers: those whose layers are all the same, but for the first few.

That is read off the real modules, not off the config: classes, shapes, and every plain attribute of every submodule.
The traces of four and of five of the layers then say those of all (`repeat`); where they do not, all are traced.
Layers may also take turns, as sliding and full attention do: a step in which they differ in nothing is answered by one
turn and one layer more, which have every sort beside every other as the whole model has; any other step is not.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from inspector.config_json import layer_count, with_layers
from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import nn

FEWEST = (4, 5)
"""Identical layers of the smaller model, at the first and at the second try."""
_WORTH = 3
"""A model with fewer layers than this besides those that the two smaller ones have is traced whole."""
_LONGEST_TURN = 8
"""Sorts of layers that take turns are looked for up to so many."""
_NUMBERED = frozenset({"layer_idx", "layer_id", "layer_index", "layer_number"})
"""Attributes that hold a layer's own number."""
# Any sign of a regular expression counts: what it would match is not worked out.
_NAMES_A_LAYER = re.compile(r"(^|\.)\d+(\.|$)|[\\^$*+?()\[\]|]")


@dataclass(frozen=True, slots=True)
class Fewer:
    """Two smaller models in the place of one: their configs, what the larger one lacks, and where the layers are.

    ``unlike`` counts the first layers that are not like the rest, ``turn`` the sorts of layers that take turns in it.
    """

    short: Mapping[str, Any]
    long: Mapping[str, Any]
    extra: int
    unlike: int
    turn: int
    stacks: tuple[str, ...]


def names_a_layer(names: tuple[str, ...]) -> bool:
    """Whether a choice of modules could tell one layer from another: by number, or by a regular expression."""
    return any(_NAMES_A_LAYER.search(name) for name in names)


def fewer_layers(config: Mapping[str, Any], fewest: int = FEWEST[0]) -> Fewer | None:
    """Two models that say what this one takes, or None when it has to be traced whole; ``fewest`` is of `FEWEST`."""
    # Layers are cut in JSON, and a config object may hold what its JSON does not.
    if hasattr(config, "to_dict"):
        return None
    try:
        text = json.dumps(config)
    except (TypeError, ValueError):  # no plain JSON
        return None
    return _fewer(text, fewest)


@lru_cache(maxsize=8)
def _fewer(text: str, fewest: int) -> Fewer | None:
    config = json.loads(text)
    found = layer_count(config)
    # Both smaller models together have that many: below it the whole one is as cheap.
    if found is None or found.count < 2 * fewest + 1 + _WORTH:
        return None
    count = found.count
    try:
        whole = _anatomy(text, count)
        unlike, turn = _turns(whole.layers)
        # Sorts of other modules take other memory in every step.
        if len(set(whole.modules[unlike : unlike + turn])) > 1:
            return None
        alike = count - unlike
        least = max(fewest, turn)
        short = least + (alike - least) % turn  # so that its last layer is as the whole model's
        if alike < 2 * short + 1 + _WORTH:
            return None
        long = unlike + short + 1
        less = with_layers(config, long)
        part = _anatomy(json.dumps(less), long)
    except (InspectorError, _UnusualError):
        return None
    if (part.stack, part.rest, part.layers) != (whole.stack, whole.rest, whole.layers[:long]):
        return None
    return Fewer(with_layers(config, long - 1), less, count - long, unlike, turn, (whole.stack, "cache.layers"))


def _turns(layers: Sequence[int]) -> tuple[int, int]:
    """How many layers come before those that are all alike, or take turns, and how many sorts take turns."""
    count = len(layers)
    unlike = {
        turn: next(at for at in range(count) if layers[at : count - turn] == layers[at + turn :])
        for turn in range(1, min(_LONGEST_TURN, count - 1) + 1)
    }
    # Fewest odd layers first, then the shortest turn: a turn of four is also one of eight.
    return min((unlike[turn], turn) for turn in unlike)


class _UnusualError(Exception):
    """A model without one stack of so many layers."""


@lru_cache(maxsize=8)
def _anatomy(text: str, count: int) -> _Anatomy:
    return _Anatomy(json.loads(text), count)


class _Anatomy:
    """What a model is made of: its stack of layers, each described, and the rest."""

    def __init__(self, config: Mapping[str, Any], count: int) -> None:
        import torch

        from inspector.architecture import build_model

        model = build_model(config)
        stacks = [
            (name, module)
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.ModuleList) and len(module) == count
        ]
        if len(stacks) != 1:
            raise _UnusualError
        self.stack, layers = stacks[0]
        # A hash, as only equality is asked and the descriptions are long.
        self.layers = [hash(tuple(_described(layer))) for layer in layers]
        self.modules = [hash(tuple((path, type(part)) for path, part in layer.named_modules())) for layer in layers]
        self.rest = [line for line in _described(model) if not line[0].startswith(f"{self.stack}.")]


def _described(root: nn.Module) -> Iterator[tuple[Any, ...]]:
    """Every submodule by its path, class and plain attributes, and every tensor by its shape."""
    for path, module in root.named_modules():
        plain = tuple(
            (name, repr(value) if isinstance(value, (bool, int, float, str, tuple, list)) else type(value).__qualname__)
            for name, value in vars(module).items()
            # Its own number is what a layer may differ in; private attributes are torch's bookkeeping.
            if not name.startswith("_") and name not in _NUMBERED
        )
        yield path, type(module), plain
        for store in (module._parameters, module._buffers):
            for name, tensor in store.items():
                if tensor is not None:
                    yield path, name, tuple(tensor.shape), str(tensor.dtype)
