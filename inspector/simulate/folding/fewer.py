"""Which models can be traced with a few of their layers: those whose layers are all the same, but for the first few.

That is read off the real modules, not off the config: classes, shapes, and every plain attribute of every submodule.
The traces of four and of five of the layers then say those of all (`repeat`); where they do not, all are traced.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FEWEST = 4
"""Identical layers of the smaller model."""
_WORTH = 12
"""A model with fewer layers than this is traced whole."""
_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_NUMBERED = frozenset({"layer_idx", "layer_id", "layer_index", "layer_number"})
"""Attributes that hold a layer's own number."""
_NAMES_A_LAYER = re.compile(r"(^|\.)\d+(\.|$)|[\\^$*+?()\[\]|]")


@dataclass(frozen=True, slots=True)
class Fewer:
    """Two smaller models in the place of one: their configs, what the larger one lacks, and where the layers are.

    ``unlike`` counts the first layers that are not like the rest.
    """

    short: Mapping[str, Any]
    long: Mapping[str, Any]
    extra: int
    unlike: int
    stacks: tuple[str, ...]


def names_a_layer(names: tuple[str, ...]) -> bool:
    """Whether a choice of modules could tell one layer from another: by number, or by a regular expression."""
    return any(_NAMES_A_LAYER.search(name) for name in names)


def fewer_layers(config: Mapping[str, Any]) -> Fewer | None:
    """Two models that say what this one takes, or None when it has to be traced whole."""
    if hasattr(config, "to_dict"):
        return None
    try:
        return _fewer(json.dumps(config))
    except (TypeError, ValueError):  # no plain JSON
        return None


@lru_cache(maxsize=8)
def _fewer(text: str) -> Fewer | None:
    config = json.loads(text)
    found = _count(config)
    if found is None or found[2] < _WORTH:
        return None
    inner, name, count = found
    try:
        whole = _Anatomy(config, count)
        unlike = next((at for at in range(count) if len(set(whole.layers[at:])) == 1), count)
        long = unlike + FEWEST + 1
        if count < unlike + _WORTH:
            return None
        less = _with_layers(config, inner, name, count, long)
        part = _Anatomy(less, long)
    except (InspectorError, _UnusualError):
        return None
    if (part.stack, part.rest, part.layers) != (whole.stack, whole.rest, whole.layers[:long]):
        return None
    short = _with_layers(config, inner, name, count, long - 1)
    return Fewer(short, less, count - long, unlike, (whole.stack, "cache.layers"))


def _count(config: Mapping[str, Any]) -> tuple[str, str, int] | None:
    """Which part of the config counts the layers, under which name, and how many there are."""
    for inner in ("text_config", ""):
        part: Any = config.get(inner) if inner else config
        for name in _COUNTS if isinstance(part, dict) else ():
            if isinstance(value := part.get(name), int) and value > 0:
                return inner, name, value
    return None


def _with_layers(config: Mapping[str, Any], inner: str, name: str, count: int, layers: int) -> dict[str, Any]:
    """The config of a model with the first few layers; lists with an item for each layer are cut as well."""
    made = copy.deepcopy(dict(config))
    part = made[inner] if inner else made
    for key, value in part.items():
        if isinstance(value, list) and len(value) == count:
            part[key] = value[:layers]
    part[name] = layers
    return made


class _UnusualError(Exception):
    """A model without one stack of so many layers."""


class _Anatomy:
    """What a model is made of: its stack of layers, each described, and the rest."""

    def __init__(self, config: Mapping[str, Any], count: int) -> None:
        import torch

        from inspector.build import build_model

        model = build_model(config)
        stacks = [
            (name, module)
            for name, module in model.named_modules()
            if isinstance(module, torch.nn.ModuleList) and len(module) == count
        ]
        if len(stacks) != 1:
            raise _UnusualError
        self.stack, layers = stacks[0]
        self.layers = [hash(tuple(_described(layer))) for layer in layers]
        self.rest = [line for line in _described(model) if not line[0].startswith(f"{self.stack}.")]


def _described(root: Any) -> Iterator[tuple[Any, ...]]:
    """Every submodule by its path, class and plain attributes, and every tensor by its shape."""
    for path, module in root.named_modules():
        plain = tuple(
            (name, repr(value) if isinstance(value, (bool, int, float, str, tuple, list)) else type(value).__qualname__)
            for name, value in vars(module).items()
            if not name.startswith("_") and name not in _NUMBERED
        )
        yield path, type(module), plain
        for store in (module._parameters, module._buffers):
            for name, tensor in store.items():
                if tensor is not None:
                    yield path, name, tuple(tensor.shape), str(tensor.dtype)
