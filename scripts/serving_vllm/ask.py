"""Ask vLLM itself, on cards that are not there, what it makes of bundled models, and keep what it answers.

``ask.py`` asks about every card in a process of its own, goes on where it was stopped, and writes
``inspector/data/serving/vllm_asked.json``. Nothing of vLLM is needed but its Python files and what they import.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from inspector.serving.vllm.child import asking

PLACE = Path(__file__).parent.parent.parent / "inspector" / "data" / "serving" / "vllm_asked.json"
MODELS = Path(__file__).parent.parent.parent / "inspector" / "data" / "models"
GIB = 2**30
AVAILABLE = 40 * GIB
"""Bytes for the cache that every answer is of."""
CARDS = {
    "H100": ("NVIDIA H100 80GB HBM3", int(79.19 * GIB), (9, 0), 132),
    "T4": ("Tesla T4", int(14.56 * GIB), (7, 5), 40),
    "A100-80GB": ("NVIDIA A100-SXM4-80GB", int(79.25 * GIB), (8, 0), 108),
    "RTX 4090": ("NVIDIA GeForce RTX 4090", int(23.5 * GIB), (8, 9), 128),
}
QUESTIONS = (
    ("H100", 1, "auto", ""), ("H100", 8, "auto", ""), ("T4", 1, "auto", ""), ("H100", 1, "fp8", ""),
    ("A100-80GB", 2, "auto", ""), ("RTX 4090", 4, "fp8", ""), ("RTX 4090", 1, "auto", ""), ("H100", 2, "auto", "lora"),
    ("H100", 4, "auto", "experts"), ("RTX 4090", 1, "auto", "stages"), ("H100", 8, "auto", "contexts"),
)  # fmt: skip
"""Card, ranks, dtype of the cache and what more is said; each is asked of every model that it can be asked of."""
MORE: dict[str, dict[str, Any]] = {
    "": {},
    "lora": {"enable_lora": True, "max_loras": 2, "max_lora_rank": 32},
    "experts": {"enable_expert_parallel": True},
    "stages": {"pipeline_parallel_size": 3},
    "contexts": {"decode_context_parallel_size": 2},
}
"""vLLM's own options, by the word that an answer has under ``more``."""
ASKED = (
    "meta-llama/Llama-3.2-1B", "Qwen/Qwen2.5-7B-Instruct", "google/gemma-3-1b-it", "google/gemma-2-9b",
    "Qwen/Qwen3-30B-A3B", "Qwen/Qwen3-Next-80B-A3B-Instruct", "openai/gpt-oss-20b", "deepseek-ai/DeepSeek-V2-Lite",
    "deepseek-ai/DeepSeek-R1", "mistralai/Mistral-7B-v0.1", "google/gemma-3-12b-it",
    "meta-llama/Llama-4-Scout-17B-16E-Instruct", "microsoft/phi-4", "microsoft/Phi-3-mini-4k-instruct",
    "EleutherAI/pythia-1.4b", "openai-community/gpt2", "facebook/opt-125m", "tiiuae/falcon-7b",
    "CohereLabs/c4ai-command-r7b-12-2024", "allenai/OLMo-2-1124-7B", "allenai/OLMoE-1B-7B-0924",
    "ibm-granite/granite-3.3-2b-instruct", "HuggingFaceTB/SmolLM3-3B", "mistralai/Mixtral-8x7B-v0.1",
    "zai-org/GLM-4.5-Air", "microsoft/phi-2", "google/gemma-2b", "mistralai/Ministral-8B-Instruct-2410",
    "Qwen/Qwen3-0.6B", "Qwen/Qwen2.5-0.5B", "meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-70B", "Qwen/Qwen3-14B",
    "Qwen/Qwen3-235B-A22B", "google/gemma-3-27b-it", "openai/gpt-oss-120b", "moonshotai/Kimi-K2-Instruct",
    "mistralai/Mistral-Small-3.1-24B-Instruct-2503", "ibm-granite/granite-3.0-1b-a400m-base",
    "meta-llama/Llama-2-7b-hf", "mistralai/Mistral-Nemo-Base-2407",
)  # fmt: skip


def one(model: str, card: str, ranks: int, kept: str, more: str) -> dict[str, Any]:
    """The answer about one model."""
    asked = {"model": model, "card": card, "ranks": ranks, "kept": kept} | ({"more": more} if more else {})
    options = {"tensor_parallel_size": ranks, "kv_cache_dtype": kept, **MORE[more]}
    with tempfile.TemporaryDirectory() as folder:
        text = (MODELS / f"{model.replace('/', '--')}.json").read_text(encoding="utf-8")
        (Path(folder) / "config.json").write_text(text, encoding="utf-8")
        return {**asked, **asking.answer(Path(folder), options, AVAILABLE)}


def child(card: str) -> None:
    """Ask everything about one card, a line each."""
    asking.become(CARDS[card])
    there = kept_answers()
    for each, ranks, kept, more in QUESTIONS:
        for model in ASKED if each == card else ():
            if (model, card, ranks, kept, more) not in there and askable(model, kept, more):
                print(json.dumps(one(model, card, ranks, kept, more)), flush=True)


def askable(model: str, kept: str, more: str) -> bool:
    """Whether it can be asked so.

    Of a latent in fp8 FlashMLA's compiled extension decides, which is not here; experts are spread where there are any.
    """
    text = (MODELS / f"{model.replace('/', '--')}.json").read_text(encoding="utf-8")
    mixture = any(f'"{name}"' in text for name in ("num_experts", "num_local_experts", "n_routed_experts"))
    spread = {"experts": mixture, "lora": not mixture}  # adapters of experts need kernels that are chosen with data
    return not (kept == "fp8" and '"kv_lora_rank"' in text) and spread.get(more, True)


def kept_answers() -> dict[tuple[str, str, int, str, str], dict[str, Any]]:
    """What is known by now."""
    found = json.loads(PLACE.read_text(encoding="utf-8"))["answers"] if PLACE.exists() else []
    return {key(row): row for row in found}


def key(row: dict[str, Any]) -> tuple[str, str, int, str, str]:
    """What an answer is of."""
    return row["model"], row["card"], row["ranks"], row["kept"], row.get("more", "")


def main() -> None:
    """Ask about each card and write the file after every answer."""
    from importlib.metadata import version

    for card in CARDS:
        command = [sys.executable, __file__, card]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            for line in running.stdout or ():
                if not line.startswith("{"):
                    continue
                row = json.loads(line)
                answers = kept_answers() | {key(row): row}
                about = f"vLLM {version('vllm')} on shapes, 40 GiB for the cache, asked {dt.date.today()}"  # noqa: DTZ011
                write(about, list(answers.values()))
                print(row, flush=True)


def write(about: str, answers: list[dict[str, Any]]) -> None:
    """The file, an answer a line."""
    rows = ",\n".join(json.dumps(row) for row in answers)
    PLACE.write_text(f'{{"about": {json.dumps(about)}, "answers": [\n{rows}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    child(sys.argv[1]) if len(sys.argv) > 1 else main()
