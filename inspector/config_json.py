"""The content of a ``config.json`` as plain data: where a model's language part is, how many layers it has, its dtype.

Published configs say the same under several names and at two depths; this is the one place that knows them. What only
the real classes can say is read off transformers' own object instead (`inspector.architecture.facts`).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TEXT = "text_config"
"""Where configs of models for images or sound as well keep that of their language model."""

_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
"""Names of the number of layers, the usual one first; then GPT-2's and BLOOM's, MPT's, GPT-Neo's and T5's."""


@dataclass(frozen=True, slots=True)
class LayerCount:
    """How many layers a config asks for, and where it says so: ``within`` is `TEXT`, or empty for the config itself."""

    within: str
    name: str
    count: int


def text_part(config: Mapping[str, object]) -> Mapping[str, object]:
    """The part of a config that is the language model's: the whole where it has no such part."""
    inner = config.get(TEXT)
    return inner if isinstance(inner, dict) else config


def text_fields(config: Mapping[str, object]) -> dict[str, Any]:
    """What a config says of its language model; what its part leaves unsaid is what the whole says."""
    return {**config, **text_part(config)}


def published_dtype(config: Mapping[str, object]) -> str:
    """The dtype that a checkpoint is published in, by torch's name; empty where the config does not say.

    The whole's word goes before the part's, as in ``from_pretrained(dtype="auto")`` (transformers/modeling_utils.py,
    ``_get_dtype``); ``torch_dtype`` is the name of earlier releases.
    """
    for part in (config, text_part(config)):
        for name in ("dtype", "torch_dtype"):
            if isinstance(said := part.get(name), str):
                return said.removeprefix("torch.")
    return ""


def is_mlx(config: Mapping[str, object]) -> bool:
    """Whether a config is of weights that MLX packed: it names bits and groups and no method.

    Source: mlx-lm's utils.py, ``quantize_model`` and ``save_config``, which writes ``quantization`` and, as a copy for
    others, ``quantization_config``.
    """
    named = [config.get(name) for name in ("quantization", "quantization_config")]
    said = [part for part in named if isinstance(part, dict)]
    return any("group_size" in part and "bits" in part for part in said) and not any(
        part.get("quant_method") for part in said
    )


def layer_count(config: Mapping[str, object]) -> LayerCount | None:
    """The number of a config's decoder layers; None where it is not said, or no whole number above zero."""
    part = text_part(config)
    # The part first: beside it, the whole may have a number of its own, of what is not the decoder.
    for within, said in ((TEXT if part is not config else "", part), ("", config)):
        for name in _COUNTS:
            if isinstance(value := said.get(name), int) and value > 0:
                return LayerCount(within, name, value)
    return None


def with_layers(config: Mapping[str, object], layers: int) -> dict[str, Any]:
    """A copy of a config whose decoder has the first ``layers`` layers alone; lists with an item a layer are cut too.

    Raises ValueError when the config does not say how many it has.
    """
    return with_chosen_layers(config, range(layers))


def with_chosen_layers(config: Mapping[str, object], chosen: Sequence[int]) -> dict[str, Any]:
    """As `with_layers`, with the layers of these numbers, so far as lists with an item a layer tell them apart."""
    found = layer_count(config)
    if found is None:
        raise ValueError("the config does not say how many layers it has")
    made: dict[str, Any] = copy.deepcopy(dict(config))  # transformers writes into the dicts it is given
    part = made[found.within] if found.within else made
    for key, value in part.items():
        if isinstance(value, list) and len(value) == found.count:
            part[key] = [value[layer] for layer in chosen if layer < found.count]
    part[found.name] = len(chosen)
    return made
