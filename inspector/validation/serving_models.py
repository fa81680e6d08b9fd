"""Which bundled model an engine's log is of: logs name models as their writers do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.sources.bundled import find

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.sources.source import Source

_SHAPES = {
    "llama-3-70b": "Meta-Llama-3-70B", "llama-3.1-405b": "Llama-3.1-405B", "llama-2-7b": "Llama-2-7b-hf",
    "deepseek-v3": "DeepSeek-V3", "glm-4.5": "GLM-4.6", "qwen3-235b": "Qwen3-235B-A22B",
    "mixtral-8x7b": "Mixtral-8x7B-v0.1",
}  # fmt: skip
"""Short names of shapes in the logs' ``arch``, where they are not the ending of a bundled id."""
_MADE = re.compile(r"[-_.](fp8|awq|gptq|nvfp4|int4|int8|quantized\.w8a8|w4a16|4bit|bnb)\b.*$", re.IGNORECASE)


def model_of(record: Mapping[str, Any]) -> Source | None:
    """The model of a log: its ``config`` (a path), its name, or its ``arch``; None where none is known here."""
    from inspector.sources.resolve import locate

    if isinstance(path := record.get("config"), str):
        return locate(path)
    for name in _names(str(record.get("model") or ""), str(record.get("arch") or "")):
        try:
            found = find(name)
        except InspectorError:  # the ending of several
            continue
        if found:
            return locate(found)
    return None


def _names(model: str, arch: str) -> list[str]:
    plain = re.split(r"[\s(]", model.strip(), maxsplit=1)[0]
    bare = _MADE.sub("", plain.rpartition("/")[2])
    names = [plain, bare, bare.replace("Meta-Llama-3.1", "Llama-3.1")]
    if (moe := re.search(r"DeepSeek-V3/R1|DeepSeek-R1\b(?!-Distill)", model)) is not None:
        names.append("deepseek-r1" if moe else "")
    if arch:
        names += [_SHAPES.get(arch, arch)]
    return [name for name in names if name]
