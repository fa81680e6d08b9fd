"""An engine's version as people write it, so that a rule can say since when it holds."""

from __future__ import annotations

import re
from typing import Literal

from inspector.errors import InspectorError

NEWEST = {"vllm": "0.33", "sglang": "0.5.17", "llama.cpp": "b11549", "ollama": "0.12", "transformers": "5.23"}
"""The versions whose rules are taken where none is named."""

Runner = Literal["V0", "V1"]


def version_of(engine: str, said: str) -> tuple[int, ...]:
    """``0.8.5 V0`` or ``v0.10.2rc1`` as numbers; a build of llama.cpp (``b4581``) as its one number.

    A date (``2026-05``) is a version that is as new as any known. Raises InspectorError for what is neither.
    """
    text = said or NEWEST[engine]
    found = re.search(r"(?<![\d.])(?:v|b)?(\d{1,6}(?:\.(?:\d{1,4}|x))*)", text.strip().lower())
    if not found:
        if said.strip().lower() in {"main", "nightly", "latest", "dev"}:
            return version_of(engine, NEWEST[engine])
        raise InspectorError(f"{said!r:.40} is no version of {engine}", hint=f"write it as {NEWEST[engine]}")
    numbers = tuple(int(part) for part in found[1].split(".") if part != "x")
    if numbers[0] >= 2020 and engine != "llama.cpp":
        return version_of(engine, NEWEST[engine])
    return numbers


def runner_of(said: str) -> Runner:
    """VLLM's engine: what is said (``0.8.5 V0``), else V1 from 0.8.0 on (its release notes)."""
    if found := re.search(r"\bv([01])\b(?!\.)", said.lower()):
        return "V0" if found[1] == "0" else "V1"
    return "V1" if version_of("vllm", said) >= (0, 8) else "V0"
