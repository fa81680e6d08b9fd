"""vLLM itself asked what it makes of a model on a card that is not there, in a process of its own.

vLLM pins transformers and torch to other versions than ours, so that it is seldom in the same environment: then
``INSPECTOR_VLLM`` names the Python of one that has it, or folders to find it in.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.serving.vllm import child
from inspector.units import count, gibibytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.gpus import Gpu
    from inspector.serving.vllm.settings import VllmSettings

VARIABLE = "INSPECTOR_VLLM"
KNOWN = ("0.33",)
"""Versions whose private names the child was written for; another is asked and said to be none of them."""
SECONDS = 240
MOST_CHARACTERS = 1_000_000
_ASKED = (
    "dtype", "quantization", "kv_cache_dtype", "tensor_parallel_size", "pipeline_parallel_size",
    "decode_context_parallel_size", "enable_expert_parallel", "max_model_len", "gpu_memory_utilization", "max_num_seqs",
    "max_num_batched_tokens", "block_size", "enforce_eager", "enable_lora", "max_loras", "max_lora_rank",
    "disable_hybrid_kv_cache_manager", "mamba_cache_mode", "mamba_ssm_cache_dtype", "enable_chunked_prefill",
)  # fmt: skip
"""Options that are handed on as they are, where they were said."""


@dataclass(frozen=True, slots=True)
class AskedVllm:
    """What vLLM answers: bytes of a rank's weights, blocks in the cache, requests at once, or ``refusal``."""

    version: str
    weights: int
    blocks: int
    groups: int
    concurrency: float
    backend: str
    refusal: str

    def said(self) -> str:
        """The answer in a line."""
        known = "" if self.version.startswith(KNOWN) else f", not a version it was tried with ({', '.join(KNOWN)})"
        cache = f"{count(self.blocks)} blocks in {self.groups} groups, {self.concurrency:.2f} requests at once"
        what = f"{cache}, {self.backend}" if self.blocks else self.refusal
        return f"vLLM itself ({self.version}{known}) answers: weights {gibibytes(self.weights)}, {what}"


def where() -> tuple[list[str], dict[str, str]] | None:
    """The Python that has vLLM and what its environment has beside; None where none is known."""
    named = os.environ.get(VARIABLE, "")
    if named and Path(named).is_file():
        return [named], {}
    if named:
        return [sys.executable], {"PYTHONPATH": named}
    return ([sys.executable], {}) if find_spec("vllm") is not None else None


def ask(config: Mapping[str, Any], settings: VllmSettings, card: Gpu, available: int) -> AskedVllm:
    """Ask vLLM.

    Args:
        config: the model's config.
        settings: vLLM's options.
        card: the card that it is to see.
        available: bytes for the cache, which no shape tells.

    Raises:
        InspectorError: where there is no vLLM, it says nothing, or it refuses, in its words.
    """
    found = where()
    if found is None:
        raise InspectorError(
            "vLLM is not installed here", hint=f"{VARIABLE}=/path/to/its/bin/python, an environment that has it"
        )
    python, more = found
    with tempfile.TemporaryDirectory(prefix="inspector-vllm-") as folder:
        (Path(folder) / "config.json").write_text(json.dumps(dict(config)), encoding="utf-8")
        question = {
            "folder": folder, "options": _options(settings), "available": max(available, 0),
            "card": [card.device_name or card.name, card.usable_bytes, list(card.capability), card.multiprocessors],
        }  # fmt: skip
        command = [*python, str(Path(child.__path__[0]) / "asking.py"), json.dumps(question)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=SECONDS, check=False,
                env={**os.environ, **more},
            )  # fmt: skip
        except (subprocess.TimeoutExpired, OSError) as error:
            raise InspectorError(
                f"vLLM does not answer: {error}", hint="its own rules count without --ask-engine"
            ) from error
    return read_answer(done.stdout[-MOST_CHARACTERS:], done.stderr)


def read_answer(said: str, errors: str = "") -> AskedVllm:
    """The last line that is an answer. Raises InspectorError for none, and for a refusal."""
    line = next((line for line in reversed(said.splitlines()) if line.startswith("{")), "")
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict) or not ({"weights", "refused"} & set(found)):
        why = next((line.strip()[:200] for line in reversed(errors.splitlines()) if line.strip()), "it says nothing")
        raise InspectorError(f"vLLM does not answer: {why}", hint="our rules count without --ask-engine")
    if refused := found.get("refused"):
        raise InspectorError(f"vLLM itself refuses: {str(refused)[:300]}".replace("\n", " "))
    return AskedVllm(
        str(found.get("version")), int(found.get("processed") or found["weights"]), int(found.get("blocks") or 0),
        int(found.get("groups") or 0), float(found.get("concurrency") or 0), str(found.get("backend") or ""),
        str(found.get("refusal") or ""),
    )  # fmt: skip


def _options(settings: VllmSettings) -> dict[str, Any]:
    usual = {field.name: field.default for field in fields(settings)}
    return {
        name: value for name in _ASKED
        if (value := getattr(settings, name)) != usual[name] and value not in {None, ""}
    }  # fmt: skip
