"""Published peaks of generation as questions to the simulator: which can be asked, and why not the others."""

from __future__ import annotations

from inspector.units import GiB, MiB
from inspector.validation.published_run import Figure, Question, Record, versions_of

GENERATED = 2048
"""Tokens of every answer in Qwen's speed benchmark, forced by ``min_length``.

Source: QwenLM/Qwen2.5 examples/speed-benchmark/speed_benchmark_transformers.py.
"""


def qwen_speed(record: Record) -> Question:
    """Qwen's speed benchmark: the peak of loading and of one answer, batch 1, unquantized on an A100."""
    skipped = _not_asked(record)
    settings = {} if skipped else {
        "batch_size": record["batch"], "prompt_len": record["input_tokens"], "max_new_tokens": GENERATED,
        "cache": "dynamic", "dtype": "bfloat16", "attention": "sdpa",
    }  # fmt: skip
    precision, prompt = record["quantization"], record.get("input_tokens")
    unit = GiB if record["unit"].startswith("GiB") else MiB
    return Question(
        file="inference_peaks",
        id=f"{record['model'].rpartition('/')[2]} {precision} {prompt or ''}".strip(),
        model=record["model"],
        method="generate",
        config=f"{record['batch']}x{prompt}+{GENERATED}" if prompt else "",
        gpu=record.get("gpu") or "",
        settings=settings,
        figures=() if skipped else (Figure("generate_peak", round(record["peak"] * unit)),),
        versions=versions_of(record),
        notes=() if skipped else NOTES,
        skipped=skipped,
        source=record["source"],
    )


NOTES = (
    "published to 0.01 GiB; run with flash_attention_2, simulated with sdpa, which takes the same kernel",
    "transformers then copied keys and values to every query head: 7 to 28 MiB, seen after a prompt of one token",
)
"""The copies: transformers v4.46 src/transformers/models/qwen2/modeling_qwen2.py, ``repeat_kv``."""


def _not_asked(record: Record) -> str:
    precision = record["quantization"]
    if record.get("tool") == "litgpt generate":
        return "LitGPT runs its own model code and cache, not transformers'"
    if not record.get("input_tokens"):
        return "the prompt was not published"
    if precision != "BF16":
        return f"{precision} weights are not simulated"
    if "H20" in record["gpu"]:
        return "its figures are below the weights and the cache of the tokens it names: what was read off is not known"
    return ""
