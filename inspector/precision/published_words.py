"""Fields of a ``quantization_config`` that hold what their method does not take: which, what is known, what is meant.

The libraries take some of them without a word and store something else than is meant, or fail where one is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError, closest
from inspector.precision.published_fields import FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from inspector.precision.published_fields import Rule

_OTHERS = ("transform_config", "sparsity_config", "meta", "kv_cache_scheme")
"""Parts of a config with words of their own."""

_CLOSE = 0.85
"""From here on a word that may be of a newer library is taken for a known one, misspelt."""


class QuantizationWordError(InspectorError):
    """A ``quantization_config`` holds what its method does not take. What files store can be told all the same."""


def check_fields(method: str, raw: Mapping[str, Any]) -> None:
    """Refuse what a field of the method does not take, by its place. Raises QuantizationWordError."""
    known = FIELDS.get(method, {})
    if method == "bitsandbytes" and raw.get("load_in_4bit") is True and raw.get("load_in_8bit") is True:
        raise QuantizationWordError(
            "quantization_config says load_in_4bit and load_in_8bit", hint="bitsandbytes takes one of them"
        )
    for path, value in _members(raw, ""):
        rule = known.get(path) or known.get(path.rpartition(".")[2])
        if rule is None or value is None or (isinstance(value, dict) and rule.in_parts) or rule.allows(value):
            continue
        meant = close_words(str(value), rule)
        if rule.is_open and isinstance(value, str) and not meant:
            continue
        mean = f"did you mean {' or '.join(meant)}? " if meant else ""
        raise QuantizationWordError(
            f"quantization_config.{path} is {value!r:.60}, which {method} does not know", hint=f"{mean}{rule.allowed}"
        )


def close_words(said: str, rule: Rule) -> list[str]:
    """The words that are meant perhaps, closest first."""
    lower = {word.lower(): word for word in rule.words}
    found = closest(said.lower(), lower, most=2, cutoff=_CLOSE if rule.is_open else 0.6)
    return [lower[word] for word in found]


def unheard_fields(method: str, raw: Mapping[str, Any]) -> tuple[str, ...]:
    """A line for each name that is nearly a field of the method, which is not there: libraries pass it over."""
    known = {path for path in FIELDS.get(method, {}) if "." not in path}
    said = {path.rpartition(".")[2] for path, _ in _members(raw, "")}
    lines = []
    for name in sorted(said - known):
        meant = closest(name.lower(), known - said, most=1, cutoff=_CLOSE)
        if meant:
            lines.append(f"quantization_config.{name} is no field of {method}, and is passed over: {meant[0]} perhaps")
    return tuple(lines)


def _members(value: Mapping[str, Any], path: str, depth: int = 0) -> Iterator[tuple[str, object]]:
    for name, inner in value.items():
        if name in _OTHERS:
            continue
        place = f"{path}.{name}" if path else str(name)
        yield place, inner
        if isinstance(inner, dict) and depth < 5:
            yield from _members(inner, place, depth + 1)
