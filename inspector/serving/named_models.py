"""A model as an engine's users name it, where it is not at hand: the bundled one of its shapes, and how packed.

``bartowski/Meta-Llama-3.1-8B-Instruct-GGUF:Q6_K``, ``qwen3-8b-Q5_K_M.gguf``, ``llama3.1:8b``, ``...-Instruct-AWQ``.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

from inspector.errors import InspectorError
from inspector.precision.gguf_rules import FILE_TYPES
from inspector.sources.bundled import find, model_ids

_FILE_TYPE = re.compile(
    r"[-._:@](?:UD-)?(I?Q\d(?:_(?:K|0|1|NL|XXS|XS|S|M))?(?:_(?:S|M|L|XL|XS|XXS))?|BF16|F16|F32|FP16|MXFP4)$",
    re.IGNORECASE,
)
"""How a GGUF is packed, at the end of its name."""
_PACKED = re.compile(
    r"[-_.](?:unsloth-bnb-4bit|bnb-4bit|4bit|awq(?:-int4|-4bit)?|gptq(?:-int4|-4bit)?|fp8(?:-dynamic)?|nvfp4|fp4|int4|"
    r"quantized\.w4a16|w4a16|quantized\.w8a8|w8a8|mxfp4)$",
    re.IGNORECASE,
)
"""How a checkpoint is packed, at the end of a repository's name."""
_LATEST = {
    "llama3.1": "8b", "llama3.2": "3b", "llama3": "8b", "llama2": "7b", "qwen3": "8b", "qwen2.5": "7b", "gemma3": "4b",
    "gemma2": "9b", "mistral": "7b", "phi4": "14b", "mixtral": "8x7b", "gpt-oss": "20b", "llama3.3": "70b",
}  # fmt: skip
"""The size that an ollama name without one means (ollama.com/library, its tag ``latest``)."""
_OTHERWISE = {
    "mistral-7b": "mistral-7b-instruct-v0.3", "phi-4-14b": "phi-4", "llama-3.3-70b": "llama-3.3-70b-instruct",
    "mixtral-8x7b": "mixtral-8x7b-instruct-v0.1", "llama-2-7b": "llama-2-7b-hf", "llama-3-8b": "meta-llama-3-8b",
    "llama-3-70b": "meta-llama-3-70b", "llama-2-13b": "llama-2-13b-hf", "llama-2-70b": "llama-2-70b-hf",
    "deepseek-r-1-1.5b": "deepseek-r1-distill-qwen-1.5b", "deepseek-r-1-7b": "deepseek-r1-distill-qwen-7b",
    "deepseek-r-1-14b": "deepseek-r1-distill-qwen-14b", "deepseek-r-1-32b": "deepseek-r1-distill-qwen-32b",
    "deepseek-r-1-70b": "deepseek-r1-distill-llama-70b", "deepseek-r-1-671b": "deepseek-r1",
}  # fmt: skip
"""Bundled ids whose ending is not what ollama calls them."""


@dataclass(frozen=True, slots=True)
class Namesake:
    """A bundled id, the GGUF file type and the ``--quantization`` that its name says, empty for none.

    ``unsaid`` is whether it leaves layers in 16 bits which its config.json alone names: Unsloth's dynamic ones do.
    """

    model: str
    file_type: str = ""
    quantization: str = ""
    unsaid: bool = False


def namesake(name: str, engine: str) -> Namesake | None:
    """The bundled model that a name says, and how it is packed; None where it says none.

    Args:
        name: a repository, a file, or a tag of ollama's, as it stands in a line.
        engine: whose line that is: ollama's names have a form of their own.
    """
    plain = name.strip().rpartition("/")[2]
    if engine == "ollama":
        return _tagged(plain)
    packed = ""
    if engine == "llama.cpp":
        plain = re.sub(r"-\d{5}-of-\d{5}$", "", re.sub(r"\.gguf$", "", plain, flags=re.IGNORECASE))
        plain, packed = _split(_FILE_TYPE, plain)
        plain = re.sub(r"[-._]gguf$", "", plain.partition(":")[0], flags=re.IGNORECASE)
        found = shapes_of(plain) or made_of(plain)
        return Namesake(found, file_type=_file_type(packed, found)) if found else None
    plain, packed = _split(_PACKED, plain)
    found = shapes_of(plain) or made_of(plain)
    unsaid = packed.lower().startswith("unsloth")
    method = _method(packed)
    if method == "fp8" and name.strip().startswith("meta-llama/"):  # Meta's own is FBGEMM's
        method = "fbgemm_fp8"
    return Namesake(found, quantization=method, unsaid=unsaid) if found else None


def shapes_of(name: str) -> str | None:
    """A bundled id of these shapes: the one that is meant, or the shortest of those that begin so."""
    for wanted in dict.fromkeys((name, re.sub(r"^meta-", "", name, flags=re.IGNORECASE), f"meta-{name}")):
        if found := _found(wanted):
            return found
    return None


def made_of(name: str) -> str | None:
    """The bundled id that a model was made of, by its name: ``Hermes-3-Llama-3.1-8B``, ``Qwen2.5-Coder-14B``."""
    plain = re.sub(r"^(qwen2\.5)-(?:coder|math)-", r"\1-", name.lower())
    if plain != name.lower() and (found := shapes_of(plain)):
        return found
    short = {model.lower().partition("/")[2]: model for model in model_ids()}
    inside = [known for known in short if re.search(rf"(^|[-_.]){re.escape(known)}([-_.]|$)", plain)]
    inside = [known for known in inside if re.search(r"\d[bm](-|$)", known)]
    return short[max(inside, key=len)] if inside else None


def _found(name: str) -> str | None:
    with suppress(InspectorError):  # the ending of several
        if found := find(name):
            return found
    wanted = name.lower()
    if not re.search(r"\d[bm](-|$)", wanted):  # a family alone is no model
        return None
    begin = [model for model in model_ids() if f"{model.lower().partition('/')[2]}-".startswith(f"{wanted}-")]
    return min(begin, key=len, default=None)


def _tagged(name: str) -> Namesake | None:
    """``llama3.1:8b-instruct-q4_K_M``, ``gemma3``, ``qwen3:14b``."""
    family, _, tag = name.lower().partition(":")
    tag, packed = _split(_FILE_TYPE, f"-{tag}") if tag else ("", "")
    tag = tag.strip("-")
    if tag in {"", "latest"}:
        tag = _LATEST.get(family, "")
    size = re.match(r"(?:\d+x)?[\d.]+[bm](?=-|$)", tag)
    parts = re.fullmatch(r"([a-z-]+?)-?(\d[\d.]*)?", family)
    if size is None or parts is None:
        return None
    spoken = "-".join(part for part in (parts[1], parts[2], size[0]) if part)
    glued = f"{parts[1]}{parts[2] or ''}-{size[0]}"  # Qwen3 and Qwen2.5 have no dash
    for wanted in (_OTHERWISE.get(spoken, ""), spoken, glued):
        if wanted and (found := _found(wanted) or _found(f"{wanted}-it")):
            return Namesake(found, file_type=_file_type(packed, found))
    return None


def _file_type(packed: str, model: str) -> str:
    """As ``--scheme`` has it; gpt-oss is published in MXFP4 alone."""
    word = packed.lower().removeprefix("ud-").replace("fp16", "f16")
    if word == "mxfp4" or (not word and "gpt-oss" in model):
        return "mxfp4_moe"
    # Unsloth's own mixes, such as Q4_K_XL, are nearest to the medium one.
    larger = word.removesuffix("_xl")
    return next((name for name in (word, f"{larger}_m", larger) if name in FILE_TYPES), word)


def _split(pattern: re.Pattern[str], name: str) -> tuple[str, str]:
    found = pattern.search(name)
    return (name[: found.start()], found[0][1:]) if found else (name, "")


def _method(packed: str) -> str:
    """The ``--quantization`` of what the ending of a name says."""
    word = packed.lower()
    for part, method in (
        ("bnb", "bitsandbytes"), ("awq", "awq"), ("gptq", "gptq"), ("fp8", "fp8"), ("fp4", "nvfp4"), ("w4a16", "w4a16"),
        ("w8a8", "w8a8"), ("int4", "w4a16"), ("4bit", "bitsandbytes"),
    ):  # fmt: skip
        if part in word:
            return "mxfp4" if "mxfp4" in word else method
    return ""
