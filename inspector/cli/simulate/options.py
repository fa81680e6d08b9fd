"""From what was typed to settings by their names."""

from __future__ import annotations

from typing import Any

from inspector.errors import InspectorError

_LISTS = ("target_modules", "modules_to_save")
_BITS = {"4": {"scheme": "nf4"}, "8": {"scheme": "int8"}, "16": {"scheme": "none"}, "32": {"scheme": "none"}}


def settings(said: dict[str, Any]) -> dict[str, Any]:
    """The settings that were said: lists split, ``bits`` turned into a scheme and a dtype.

    Raises InspectorError for an empty list, and when ``bits`` contradicts the scheme or the dtype.
    """
    chosen = {name: value for name, value in said.items() if value is not None}
    for name in _LISTS:
        if name in chosen:
            chosen[name] = tuple(part.strip() for part in chosen[name].split(",") if part.strip())
            if not chosen[name]:
                raise InspectorError(f"--{name.replace('_', '-')} names no module", hint="leave it out, or name some")
    bits = chosen.pop("bits", None)
    if bits:
        if chosen.get("scheme", _BITS[bits]["scheme"]) not in _allowed(bits):
            raise InspectorError(f"--bits {bits} and --scheme {chosen['scheme']} contradict each other")
        chosen.setdefault("scheme", _BITS[bits]["scheme"])
        if bits == "32" and chosen.setdefault("dtype", "float32") != "float32":
            raise InspectorError(f"--bits 32 and --dtype {chosen['dtype']} contradict each other")
        if bits == "16" and chosen.get("dtype") == "float32":
            raise InspectorError("--bits 16 and --dtype float32 contradict each other")
    return chosen


def _allowed(bits: str) -> tuple[str, ...]:
    return {"4": ("nf4", "fp4"), "8": ("int8",), "16": ("none",), "32": ("none",)}[bits]
