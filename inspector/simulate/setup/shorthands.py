"""What people say in short: words by habit, bits, lists as text; spelled out as the settings they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError, closest
from inspector.lora.options import excluded_modules, pattern, token_indices, whole_numbers
from inspector.simulate.setup.objective import ENGINE
from inspector.skeleton.habits import usual
from inspector.units import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from inspector.lora.options import Pattern
    from inspector.skeleton.habits import Kind

SHORTHANDS = ("bits", "load_in_4bit", "load_in_8bit")
"""Options that are no settings of their own but say what others are."""

_KINDS: dict[str, Kind] = {
    "dtype": "dtype",
    "compute_dtype": "dtype",
    "adapter_dtype": "dtype",
    "attention": "attention",
    "optimizer": "optimizer",
}
_LISTS = ("target_modules", "modules_to_save", "target_parameters", "layers_pattern")
_READ: dict[str, Callable[[str, Any], object]] = {
    "exclude_modules": lambda _, said: excluded_modules(said) if isinstance(said, str) else tuple(said),
    "layers_to_transform": lambda name, said: whole_numbers(said, name),
    "rank_pattern": lambda name, said: pattern(said, name),
    "alpha_pattern": lambda name, said: pattern(said, name),
    "trainable_token_indices": lambda _, said: token_indices(said),
    "vllm_memory": lambda _, said: _sizes(said),
}
"""What is neither a word nor a list of names: fields of LoRA as typed, or as PEFT takes them, and an engine's bytes."""
_SCHEMES = {4: ("nf4", "fp4"), 8: ("int8",), 16: ("none",), 32: ("none",)}
"""Schemes of so many bits, the usual one first."""


def spelled_out(options: Mapping[str, object], names: Collection[str]) -> dict[str, Any]:
    """The settings that were said: None means "not said", ``bits`` a scheme and a dtype, ``a,b`` two modules.

    Raises InspectorError for a setting that is none of ``names``, for an empty list, and when ``bits`` contradicts the
    scheme or the dtype.
    """
    chosen: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    for name in chosen:
        if name not in names and name not in SHORTHANDS:
            close = closest(name, sorted({*names, *SHORTHANDS}), most=1)
            raise InspectorError(f"no setting is named {name!r}", hint=f"did you mean {close[0]!r}?" if close else "")
    # Before the bits are looked at, which are compared with the dtype by its full name.
    for name in set(_KINDS) & set(chosen):
        chosen[name] = usual(_KINDS[name], chosen[name])
    for name in set(_LISTS) & set(chosen):
        chosen[name] = _names(name, chosen[name])
    for name in set(_READ) & set(chosen):
        chosen[name] = _READ[name](name, chosen[name])
    said = {int(bits) for bits in (chosen.pop("bits", None),) if bits is not None}
    said |= {bits for bits, name in ((4, "load_in_4bit"), (8, "load_in_8bit")) if chosen.pop(name, False)}
    if len(said) > 1:
        raise InspectorError(f"{' and '.join(map(str, sorted(said)))} bits contradict each other")
    for bits in said:
        _follow_bits(chosen, bits)
    return chosen


def _sizes(said: Pattern) -> tuple[tuple[str, int], ...]:
    """An engine's bytes by the names of its parts: ``weights=2.1GiB``, pairs, or a mapping."""
    given = said.items() if isinstance(said, Mapping) else (said,) if isinstance(said, str) else said
    pairs = [each.partition("=")[::2] if isinstance(each, str) else each for each in given]
    found = {str(part).strip(): size if isinstance(size, int) else parse_size(size) for part, size in pairs}
    if wrong := [part for part in found if part not in ENGINE]:
        raise InspectorError(f"vLLM holds no {wrong[0]!r}", hint=f"PART=BYTES, of {', '.join(ENGINE)}")
    if wrong := [part for part, size in found.items() if isinstance(size, bool) or not 0 <= size < 2**50]:
        raise InspectorError(f"{found[wrong[0]]!r} is no size of vLLM's {wrong[0]}", hint="such as weights=2.1GiB")
    return tuple(found.items())


def _names(name: str, value: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Names that were typed with commas between them, or given as a list."""
    found = tuple(part.strip() for part in (value.split(",") if isinstance(value, str) else value) if part.strip())
    # An empty list leaves the choice to PEFT; an empty text is a slip.
    if not found and isinstance(value, str):
        raise InspectorError(f"--{name.replace('_', '-')} names no module", hint="leave it out, or name some")
    return found


def _follow_bits(chosen: dict[str, Any], bits: int) -> None:
    if bits not in _SCHEMES:
        raise InspectorError(f"no scheme stores weights in {bits} bits", hint="choose 32, 16, 8 or 4")
    if chosen.setdefault("scheme", _SCHEMES[bits][0]) not in _SCHEMES[bits]:
        raise InspectorError(f"--bits {bits} and --scheme {chosen['scheme']} contradict each other")
    if bits == 32 and chosen.setdefault("dtype", "float32") != "float32":
        raise InspectorError(f"--bits 32 and --dtype {chosen['dtype']} contradict each other")
    # Which of the two 16-bit dtypes is the model's to say: none is set.
    if bits == 16 and chosen.get("dtype") == "float32":
        raise InspectorError("--bits 16 and --dtype float32 contradict each other")
