"""Refuse absurd configs before anything is allocated. No torch here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Far above any published model (Llama 3.1 405B has 126 layers, Kimi K2 384 experts and 163,840 tokens of vocabulary),
# far below what would keep a machine busy: the largest skeleton these allow builds in seconds.
LIMITS = {
    "num_hidden_layers": 512, "num_layers": 512, "n_layer": 512, "n_layers": 512, "depth": 512,
    "encoder_layers": 512, "decoder_layers": 512, "num_decoder_layers": 512, "num_nextn_predict_layers": 100,
    "hidden_size": 2**20, "d_model": 2**20, "n_embd": 2**20, "intermediate_size": 2**24, "ffn_dim": 2**24,
    "d_ff": 2**24, "n_inner": 2**24, "moe_intermediate_size": 2**24, "vocab_size": 2**26,
    "num_attention_heads": 2**16, "num_key_value_heads": 2**16, "n_head": 2**16, "head_dim": 2**16,
    "num_experts": 2**16, "num_local_experts": 2**16, "n_routed_experts": 2**16, "num_experts_per_tok": 2**16,
    "max_position_embeddings": 2**40, "n_positions": 2**26,
}  # fmt: skip
ZERO_ALLOWED = {"num_nextn_predict_layers", "num_experts", "num_local_experts", "n_routed_experts",
                "num_experts_per_tok", "head_dim"}  # fmt: skip
_LENGTHS = {"max_position_embeddings", "n_positions"}  # a few configs write 1200.0; no tensor's shape comes of it

# Any other whole number, where it cannot be a token's number, a position or a frequency.
_COUNT = re.compile(r"layers$|depth|blocks$|stages$")
_HARMLESS = re.compile(r"theta|position|length|window|token|_id$|_ids$|seq|context|params|seed|version|max_")
_MOST_LAYERS, _MOST = 512, 2**26


_NAMES = {"model_type", "quant_method", "dtype", "torch_dtype", "hidden_act", "hidden_activation"}
# Far over the name of any class or activation, and few enough for a line.
_MOST_LETTERS = 200


def check_sizes(config: Mapping[str, Any]) -> None:
    """Raise InspectorError when a size in the config, nested ones included, is no sensible whole number.

    Also when a name that answers repeat is as long as a text, and when ``quantization_config`` is no object: every
    class reads it as one.
    """
    _check_names(config)
    if not isinstance(config.get("quantization_config"), Mapping | None):
        raise InspectorError("quantization_config is no JSON object", hint="mend the config.json")
    for name, value in _numbers(config):
        highest = _MOST_LAYERS if _COUNT.search(name) else _MOST
        if abs(value) > highest and not _HARMLESS.search(name):
            raise InspectorError(f"{name} is {_shown(value)}, over {highest:,}", hint="mend the config.json")
    for name, value in _sizes(config):
        if value is None:
            continue
        if isinstance(value, float) and float(value).is_integer() and name.rpartition(".")[2] in _LENGTHS:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise InspectorError(f"{name} is {_shown(value)}, not a whole number", hint="mend the config.json")
        lowest = 0 if name.rpartition(".")[2] in ZERO_ALLOWED else 1
        highest = LIMITS[name.rpartition(".")[2]]
        if not lowest <= value <= highest:
            raise InspectorError(
                f"{name} is {_shown(value)}, outside {lowest} to {highest:,}", hint="mend the config.json"
            )


def _check_names(config: Mapping[str, Any]) -> None:
    for name in ("dtype", "torch_dtype"):
        if isinstance(config.get(name), list | int | float):
            raise InspectorError(f"{name} is {_shown(config[name])}, no dtype's name", hint="mend the config.json")
    for name, text in _names(config):
        if len(text) > _MOST_LETTERS:
            raise InspectorError(f"{name} has {len(text):,} letters, no name", hint="mend the config.json")


def _names(config: Mapping[str, Any], depth: int = 0) -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if name in _NAMES and isinstance(value, str | list):
            yield name, value if isinstance(value, str) else str(value)
        elif isinstance(value, dict) and depth < 4:
            yield from _names(value, depth + 1)


def _numbers(config: object, name: str = "", depth: int = 0) -> Iterator[tuple[str, int]]:
    """Every whole number in the config with the name of its field, those of ``LIMITS`` left out."""
    if isinstance(config, dict) and depth < 32:
        for key, value in config.items():
            yield from _numbers(value, str(key), depth + 1)
    elif isinstance(config, list) and depth < 32:
        for value in config:
            yield from _numbers(value, name, depth + 1)
    elif isinstance(config, int) and name not in LIMITS:
        yield name, int(config)


def _sizes(config: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if name in LIMITS and not isinstance(value, (list, dict)):
            yield prefix + name, value
        elif isinstance(value, dict) and depth < 4:
            yield from _sizes(value, f"{prefix}{name}.", depth + 1)


def _shown(value: object) -> str:
    # A number of hundreds of digits is cut as any text is: its beginning says enough.
    text = f"{value:,}" if isinstance(value, int) and abs(value) < 10**30 else repr(value)[:40]
    return text if len(text) <= 40 else text[:40] + "..."
