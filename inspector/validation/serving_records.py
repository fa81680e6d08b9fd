"""A log of an engine as a question to `inspector.serving`: its model, its card, its options, its printed figures."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.gpus import card_of_size
from inspector.serving.option_words import read_words
from inspector.serving.vllm.settings import VllmSettings
from inspector.units import MiB
from inspector.validation.serving_models import card_of, model_of
from inspector.validation.serving_unsloth import is_of_unsloth, unsloth_tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.gpus import Gpu
    from inspector.sources.source import Source

SETS = ("serving_vllm", "serving_sglang", "serving_llamacpp")
"""Published logs by name; a file of one's own is a list of such records."""

MOST_BYTES = 50_000_000
"""A file of logs larger than this is none."""

_QUANTIZED = {
    "none": "", "awq-int4": "awq", "awq-4bit": "awq", "w8a8-int8": "w8a8", "bnb-4bit": "bitsandbytes", "int4": "awq",
    "w4a16": "w4a16", "nvfp4/fp8 mixed": "nvfp4", "mxfp4 (Marlin)": "mxfp4", "mxfp4 (Triton)": "mxfp4",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Log:
    """One record. ``source`` and ``card`` are None where the log's model or card is none that is known here."""

    id: str
    engine: str
    version: str
    record: Mapping[str, Any]
    source: Source | None
    card: Gpu | None
    card_said: bool
    options: dict[str, Any]

    def printed(self, name: str) -> int | None:
        """A figure in bytes, or its count; None where the log does not print it."""
        found = self.record["figures"].get(name)
        if not isinstance(found, dict):
            return None
        value = found.get("bytes", found.get("value"))
        return int(value) if isinstance(value, int | float) else None

    def doubt(self, name: str) -> int:
        """Bytes by which the print may be off: half of its last digit."""
        return int(self.record["figures"].get(name, {}).get("half_ulp_bytes", 0))


def logs(name: str) -> tuple[Log, ...]:
    """The logs of a published set, or of a file in that form. Raises InspectorError for what is none."""
    if name in SETS:
        text = (files("inspector") / "data" / "truth" / f"{name}.json").read_text(encoding="utf-8")
        beside = _beside()
        return tuple(log_of({**record, **beside.get(record["id"], {})}) for record in json.loads(text))
    from inspector.files import read_bytes

    try:
        found = json.loads(read_bytes(Path(name).expanduser(), limit=MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise InspectorError(f"{name} is no JSON: {error}", hint="a list of logs, as docs/records.md shows") from error
    if not isinstance(found, list) or not all(is_log(record) for record in found):
        raise InspectorError(f"{name} is no list of an engine's logs", hint="each has id, engine and figures")
    return tuple(log_of(record) for record in found)


def _beside() -> dict[str, dict[str, Any]]:
    """What the text around a published log says, and its record does not, by the record's id."""
    text = (files("inspector") / "data" / "serving" / "log_details.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)["logs"]
    return found


def is_of_engines(name: str) -> bool:
    """Whether it is one of the sets here, or a file whose first record is an engine's log."""
    if name in SETS:
        return True
    from inspector.files import read_bytes

    path = Path(name).expanduser()
    try:
        found = json.loads(read_bytes(path, limit=MOST_BYTES)) if path.is_file() else None
    except (InspectorError, OSError, ValueError, RecursionError):
        return False  # whoever reads it as runs says what is wrong with it
    return isinstance(found, list) and bool(found) and is_log(found[0])


def is_log(record: object) -> bool:
    """Whether a record is of an engine's log and not of a training run."""
    return isinstance(record, dict) and "engine" in record and isinstance(record.get("figures"), dict)


def log_of(record: Mapping[str, Any]) -> Log:
    """A record as a question: its model and card looked up, its options by the engines' words."""
    engine = str(record["engine"]).lower()
    if "llama" in engine and engine != "ollama":
        engine = "llama.cpp"  # llamafile and the forks too
    if str(record.get("id")).startswith("ollama"):
        engine = "ollama"
    card = card_of(record)
    total = record["figures"].get("total", {}).get("bytes")
    if isinstance(total, int):
        base = card or card_of_size(f"{total // MiB}MiB")
        card, said = replace(base, usable_bytes=total), True
    else:
        said = card is not None
    source, version = model_of(record), str(record.get("version") or "")
    if engine == "vllm" and "non_torch" in record["figures"] and "V1" not in version and "V0" not in version:
        version = f"{version} V0"  # it alone prints "non_torch_memory takes"
    return Log(str(record["id"]), engine, version, record, source, card, said, _options(record))


def _options(record: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the log names, by vLLM's words; the other engines take those that they have."""
    found: dict[str, Any] = {}
    plain = (
        "max_model_len", "gpu_memory_utilization", "kv_cache_dtype", "max_num_seqs", "max_num_batched_tokens",
        "block_size", "enforce_eager", "mem_fraction_static", "page_size", "max_total_tokens", "context_length",
        "chunked_prefill_size", "mamba_cache_mode", "enable_lora", "max_loras", "max_lora_rank",
        "flashinfer_sampler", "v2_model_runner",
    )  # fmt: skip
    # Options that only a log's note has, as they were typed.
    typed = [word for word in str(record.get("note") or "").replace(";", " ").split() if word.startswith("--")]
    if typed:
        said_there = str(record["note"]).replace(";", " ").split()
        found |= read_words(said_there[said_there.index(typed[0]) :], VllmSettings, {}).values
    for name in plain:
        if record.get(name) is not None:
            found[name] = record[name]
    if is_of_unsloth(record):
        found.setdefault("max_num_batched_tokens", unsloth_tokens(record))
        found.setdefault("enable_lora", True)
    beside = json.dumps([record.get(name) for name in ("note", "image", "source", "outcome")])
    found["official_image"] = re.search(r"\bdocker\b|\bcompose\b|vllm-openai", beside, re.IGNORECASE) is not None
    for ours, theirs in (("tensor_parallel_size", "tensor_parallel"), ("pipeline_parallel_size", "pipeline_parallel")):
        if record.get(theirs):
            found[ours] = record[theirs]
    said = str(record.get("quantization") or "none")
    if quantization := _QUANTIZED.get(said, said):
        # Meta's own FP8 is FBGEMM's.
        meta = quantization == "fp8" and str(record.get("model")).startswith("meta-llama/")
        found["quantization"] = "fbgemm_fp8" if meta else quantization
    told = {"quantization_config", "llm_int8_skip_modules"} & set(record)
    found["unsaid_layers"] = quantization == "bitsandbytes" and not told
    return found
