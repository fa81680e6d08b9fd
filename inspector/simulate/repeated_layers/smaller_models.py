"""Which models can be traced with a few of their layers: those with enough that are alike, or of sorts that take turns.

That is read off the real modules, not off the config: classes, shapes, and every plain attribute of every submodule.
Two small models with chosen layers then say all that the whole takes (`rules`); where they do not, all are traced.
Layers that differ in attributes alone, as those of sliding and of full attention do, are first taken as one sort, as in
many a step they do the same; then each is a sort of its own.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from inspector.config_json import layer_count, text_part, with_chosen_layers
from inspector.errors import InspectorError
from inspector.simulate.repeated_layers.words import chosen, roles_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import nn

_WORTH = 3
"""A model with fewer layers than this besides those that the two smaller ones have is traced whole."""
_NUMBERED = frozenset({"layer_idx", "layer_id", "layer_index", "layer_number"})
"""Attributes that hold a layer's own number."""
# Any sign of a regular expression counts: what it would match is not worked out.
_NAMES_A_LAYER = re.compile(r"(^|\.)\d+(\.|$)|[\\^$*+?()\[\]|]")


@dataclass(frozen=True, slots=True)
class Try:
    """How two small models are chosen.

    ``merged``: layers that differ in attributes alone are of one sort; ``width``: so many layers at each end of the
    model are edges; ``least``: the smaller model has as many layers at least.
    """

    merged: bool
    width: int
    least: int


TRIES = (Try(True, 1, 4), Try(True, 2, 5), Try(False, 1, 2), Try(False, 2, 2))
"""From the cheapest on. Four layers are two edges and two between, which show what depends on a layer's number."""


@dataclass(frozen=True, slots=True)
class Fewer:
    """Two smaller models in the place of one: their configs, and the roles of the layers (`words.roles_of`).

    ``stacks`` are paths of which the next part is a layer's number. ``mixed``: layers of one role differ in attributes.
    """

    short: Mapping[str, Any]
    long: Mapping[str, Any]
    roles: tuple[int, ...]
    short_roles: tuple[int, ...]
    long_roles: tuple[int, ...]
    stacks: tuple[str, ...]
    mixed: bool


def names_a_layer(names: tuple[str, ...]) -> bool:
    """Whether a choice of modules could tell one layer from another: by number, or by a regular expression."""
    return any(_NAMES_A_LAYER.search(name) for name in names)


def fewer_layers(config: Mapping[str, Any], how: Try = TRIES[0]) -> Fewer | None:
    """Two models that say what this one takes, or None when it has to be traced whole; ``how`` is of `TRIES`."""
    # Layers are cut in JSON, and a config object may hold what its JSON does not.
    if hasattr(config, "to_dict"):
        return None
    try:
        text = json.dumps(config)
    except (TypeError, ValueError):  # no plain JSON
        return None
    return _fewer(text, how)


@lru_cache(maxsize=16)
def _fewer(text: str, how: Try) -> Fewer | None:
    config = json.loads(text)
    found = layer_count(config)
    # Both smaller models together have that many: below it the whole one is as cheap.
    if found is None or found.count < 2 * how.least + 1 + _WORTH:
        return None
    try:
        whole = _anatomy(text, found.count)
        mixed = len(set(whole.sorts)) > len(set(whole.modules))
        # Where nothing is merged, it is what was tried already; sorts that do not pass for one are told apart at once.
        if (mixed and how.merged and how.width > 1) or not (mixed or how.merged):
            return None
        sorts = whole.modules if how.merged else whole.sorts
        roles = roles_of(sorts, whole.sorts, how.width)
        picked = chosen(roles, whole.sorts, whole.shapes, how.least)
        if picked is not None and not how.merged:
            # The smaller model of the first try is there already: it need not have all that the larger one has.
            first = chosen(roles_of(whole.modules, whole.sorts), whole.sorts, whole.shapes, TRIES[0].least)
            picked = first and (first[0], picked[1])
        if picked is None or sum(map(len, picked)) + _WORTH > found.count:
            return None
        listed = _with_lists(config, found.count)
        short, long = (with_chosen_layers(listed, layers) for layers in picked)
        for part, layers in zip((short, long), picked, strict=True):
            if not _anatomy(json.dumps(part), len(layers)).is_of(whole, layers):
                return None
    except (InspectorError, _UnusualError):
        return None
    short_roles, long_roles = (tuple(roles[layer] for layer in layers) for layers in picked)
    return Fewer(short, long, roles, short_roles, long_roles, (whole.stack, "cache.layers"), mixed and how.merged)


def _with_lists(config: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The config with every list of an item a layer that transformers makes of its other words."""
    from inspector.architecture.facts import language_config
    from inspector.architecture.meta_model import build_config

    part = text_part(config)
    made = language_config(build_config(config)).to_dict()
    lists = {
        name: value
        for name, value in made.items()
        if part.get(name) is None and isinstance(value, list) and len(value) == count
    }
    if part is config:
        return {**config, **lists}
    return {name: {**part, **lists} if value is part else value for name, value in config.items()}


class _UnusualError(Exception):
    """A model without one stack of so many layers."""


@lru_cache(maxsize=16)
def _anatomy(text: str, count: int) -> _Anatomy:
    return _Anatomy(json.loads(text), count)


class _Anatomy:
    """What a model is made of: its stack of layers, each described, and the rest.

    ``sorts``, ``modules`` and ``shapes`` have a number for each layer: the same for the same in all, in the classes of
    its modules, and in the shapes of its weights.
    """

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
        self.sorts = _numbers(self.layers)
        self.modules = _numbers([tuple((path, type(part)) for path, part in layer.named_modules()) for layer in layers])
        self.shapes = _numbers([tuple(_shaped(layer)) for layer in layers])
        self.rest = [line for line in _described(model) if not line[0].startswith(f"{self.stack}.")]

    def is_of(self, whole: _Anatomy, layers: Sequence[int]) -> bool:
        """Whether this is another model with these of its layers, and no others."""
        return (self.stack, self.rest, self.layers) == (
            whole.stack,
            whole.rest,
            [whole.layers[layer] for layer in layers],
        )


def _numbers(things: Sequence[Any]) -> list[int]:
    """A number for each, from 0 on, the same for what is equal."""
    known: dict[Any, int] = {}
    return [known.setdefault(thing, len(known)) for thing in things]


def _shaped(root: nn.Module) -> Iterator[tuple[Any, ...]]:
    """Every tensor by its path, shape and dtype."""
    for path, module in root.named_modules():
        for store in (module._parameters, module._buffers):
            for name, tensor in store.items():
                if tensor is not None:
                    yield path, name, tuple(tensor.shape), str(tensor.dtype)


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
    yield from _shaped(root)
