"""vLLM's options that are JSON, such as ``--speculative-config``: what of them changes a byte on the card."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.serving.vllm.settings import VllmSettings


def with_json(settings: VllmSettings, config: Mapping[str, Any]) -> VllmSettings:
    """The settings with what their JSON says in the fields that count, for a model of that ``config.json``.

    Raises InspectorError for a text that is no object of JSON.
    """
    found: dict[str, Any] = {}
    speculative = object_of("--speculative-config", settings.speculative_config)
    words = {
        "method": settings.spec_method, "model": settings.spec_model, "num_speculative_tokens": settings.spec_tokens,
    }  # fmt: skip
    if said := {key: value for key, value in words.items() if value}:
        speculative |= said
        found["speculative_config"] = json.dumps(speculative)
    drafts = speculative.get("num_speculative_tokens")
    if isinstance(drafts, int) and not isinstance(drafts, bool) and drafts > 0:
        found["num_speculative_tokens"] = drafts
    compiled = object_of("--compilation-config", settings.compilation_config)
    if str(compiled.get("cudagraph_mode", "")).upper() == "NONE" or compiled.get("level") == 0:
        found["enforce_eager"] = True
    # A connector that does not say that it can has every window layer kept whole (config/vllm.py).
    if object_of("--kv-transfer-config", settings.kv_transfer_config):
        found["disable_hybrid_kv_cache_manager"] = True
    if text_only(config, settings):
        found["skip_mm_profiling"] = True
    return replace(settings, **found) if found else settings


def overridden(config: Mapping[str, Any], settings: VllmSettings) -> dict[str, Any]:
    """A config with ``--hf-overrides`` and ``--rope-scaling``, also in the part that is the language model's.

    Raises InspectorError as `with_json`.
    """
    said = object_of("--hf-overrides", settings.hf_overrides)
    if scaling := object_of("--rope-scaling", settings.rope_scaling):
        said = {**said, "rope_scaling": scaling}
    text = config.get("text_config")
    inner = {"text_config": {**text, **said}} if isinstance(text, dict) else {}
    return {**config, **said, **inner}


TOWERS_LEFT_OUT, OF_EVERY_MODEL = (0, 10, 1), (0, 16)
"""First releases that load no encoder which no prompt may use: of some models (vllm-project/vllm pull 22299), of every
one (32605 and what followed it)."""
_FIRST_LEFT_OUT = frozenset({"llama4", "mistral3", "qwen2_5_vl"})


def text_only(config: Mapping[str, Any], settings: VllmSettings) -> bool:
    """Whether no prompt may have an image or a video: an unnamed kind may (config/multimodal.py).

    Raises InspectorError as `with_json`.
    """
    if settings.language_model_only:
        return True
    limits = object_of("--limit-mm-per-prompt", settings.limit_mm_per_prompt)
    kinds = ("image", "video") if {"video_token_id", "video_token_index"} & config.keys() else ("image",)
    return all(kind in limits and not _count(limits[kind]) for kind in kinds)


def leaves_out_towers(config: Mapping[str, Any], settings: VllmSettings, version: tuple[int, ...]) -> bool:
    """Whether a release leaves the encoder's weights unloaded. Raises InspectorError as `with_json`."""
    if version < TOWERS_LEFT_OUT or not text_only(config, settings):
        return False
    return version >= OF_EVERY_MODEL or config.get("model_type") in _FIRST_LEFT_OUT


def _count(limit: object) -> object:
    """How many of a kind: the number, or that of the options of a kind, one where they say none."""
    return limit.get("count", 1) if isinstance(limit, dict) else limit


def named(settings: VllmSettings) -> tuple[str, ...]:
    """What is said of options that are known and not simulated."""
    said = []
    if settings.kv_transfer_config:
        said.append("--kv-transfer-config: its connector's own buffers are not counted; windows are kept whole")
    if settings.kv_offloading_size:
        said.append(
            f"--kv-offloading-size {settings.kv_offloading_size:g} GiB lie with the host, and no byte on the card"
        )
    if settings.speculative_config and not settings.num_speculative_tokens:
        said.append("--speculative-config names no num_speculative_tokens, so that none are counted")
    return tuple(said)


def object_of(option: str, text: str) -> dict[str, Any]:
    """An option's object of JSON, empty for none. Raises InspectorError for a text that is none."""
    if not text:
        return {}
    if text.isdecimal() and option == "--compilation-config":  # its level alone
        return {"level": int(text[:3])}
    if re.fullmatch(r"\w{1,20}=\d{1,6}(,\w{1,20}=\d{1,6})*", text):  # releases of 2024: image=2,video=0
        return {name: int(count) for name, _, count in (part.partition("=") for part in text.split(","))}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InspectorError(
            f"{option} is {text[:40]!r}, which is no object of JSON", hint=f"{option} '{{\"key\": 1}}'"
        )
    return found
