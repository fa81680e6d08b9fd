"""Which bundled model an engine's log is of: logs name models as their writers do."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.gpus import find_gpu
from inspector.serving.named_models import made_of, shapes_of
from inspector.serving.versions import version_of
from inspector.sources.bundled import bundled_config, load_bundled, model_ids
from inspector.sources.source import Bundled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.gpus import Gpu
    from inspector.sources.source import Source

_SHAPES = {
    "llama-3-70b": "Meta-Llama-3-70B", "llama-3.1-405b": "Llama-3.1-405B", "llama-2-7b": "Llama-2-7b-hf",
    "deepseek-v3": "DeepSeek-V3", "glm-4.5": "GLM-4.6", "qwen3-235b": "Qwen3-235B-A22B",
    "mixtral-8x7b": "Mixtral-8x7B-v0.1",
}  # fmt: skip
"""Short names of shapes in the logs' ``arch``, where they are not the ending of a bundled id."""
_MADE = re.compile(r"[-_.](fp8|awq|gptq|nvfp4|int4|int8|quantized\.w8a8|w4a16|4bit|bnb)\b.*$", re.IGNORECASE)


@dataclass(frozen=True)
class Packed(Bundled):
    """A bundled model as a checkpoint has it whose ``quantization_config`` a log prints."""

    packed: Mapping[str, Any]

    @cached_property
    def config(self) -> dict[str, Any] | None:
        """Its bundled config, with that."""
        return {**(bundled_config(self.name) or {}), "quantization_config": dict(self.packed)}


def card_of(record: Mapping[str, Any]) -> Gpu | None:
    """The catalogued card of a log; None where it says a class of cards, or one that is none of these."""
    text = re.sub(r"\(.*?\)", "", str(record.get("card") or "")).strip()
    if not text or re.search(r"class|ROCm|Intel|AMD|\bGPU\b|laptop|^\d+ ?GB", text):
        return None
    for name in (text, text.replace(" 80GB", "").replace(" 141GB", "")):
        try:
            return find_gpu(name)
        except InspectorError:
            continue
    return None


def like_card(record: Mapping[str, Any]) -> Gpu:
    """A card of the architecture that a log names ("H200 141GB class"), for figures that its size does not matter for.

    Ampere's where it names none: it has no kernels of its own that widen a block.
    """
    words = re.findall(r"[A-Za-z]+ ?\d{2,4}\b(?! ?GB)|[A-Z]\d{2,3}", str(record.get("card") or ""))
    for word in words:
        with suppress(InspectorError):
            return find_gpu(word)
    return find_gpu("A100-80GB")


def model_of(record: Mapping[str, Any]) -> Source | None:
    """The model of a log: its ``config`` (a path), its name, or its ``arch``; None where none is known here."""
    from inspector.sources.resolve import locate

    if isinstance(path := record.get("config"), str):
        return locate(path)
    for name in _names(str(record.get("model") or ""), str(record.get("arch") or "")):
        if found := shapes_of(name):
            found = _of_that_length(found, record.get("max_model_len"))
            packed = record.get("quantization_config")
            return Packed(found, "bundled", packed) if isinstance(packed, dict) else locate(found)
    # A model of one's own by what it was made of, where its name says that.
    found = made_of(re.sub(r"[\s(].*$", "", str(record.get("model") or "")).rpartition("/")[2])
    return locate(_of_that_length(found, record.get("max_model_len"))) if found else None


def first_weights(source: Source, version: str, record: Mapping[str, Any]) -> int:
    """Bytes of a rank that a repository's first revision had more, where a log is older than the second.

    Llama 3.1 405B came with its 8 heads of keys and values written out 16 times, and was mended in August 2024, after
    vLLM 0.5.3 (vllm-project/vllm issues/6689).
    """
    if "Llama-3.1-405B" not in source.name or version_of("vllm", version) >= (0, 5, 4):
        return 0
    facts, width = source.skeleton.facts, int(record.get("tensor_parallel") or 1)
    more = 2 * facts.num_layers * facts.num_key_value_heads * facts.head_dim * facts.hidden_size * 2
    return more // width


def _of_that_length(model: str, length: object) -> str:
    """The model, or the instruct one of its shapes where that has the length of the log and the model has not.

    A log says the length of which the engine makes its tables, and often no more of the name than the size.
    """
    other = f"{model}-Instruct"
    if other not in model_ids() or load_bundled(model).facts.context_length == length:
        return model
    return other if load_bundled(other).facts.context_length == length else model


def _names(model: str, arch: str) -> list[str]:
    plain = re.split(r"[\s(]", model.strip(), maxsplit=1)[0]
    bare = _MADE.sub("", plain.rpartition("/")[2])
    names = [plain, bare, bare.replace("Meta-Llama-3.1", "Llama-3.1")]
    names.append("-".join(model.split()))  # a GGUF's own: Meta Llama 3.1 8B Instruct
    if tag := re.fullmatch(r"([a-z-]+?)([\d.]*):(\d+b)", bare.lower()):  # ollama's: gemma3:27b
        names.append("-".join(filter(None, tag.groups())))
    if re.match(r"mistral 7b", model, re.IGNORECASE):
        names.append("mistral-7b-instruct-v0.2")
    if re.search(r"DeepSeek-V3/R1|DeepSeek-R1\b(?!-Distill)", model):
        names.append("deepseek-r1")
    if arch:
        names += [_SHAPES.get(arch, arch)]
    return [name for name in names if name]
