"""A page of every command at 80 columns, as a golden file: what a change of words touches is seen, and meant."""

import re

import pytest

from inspector.cli.main import COMMANDS, run

PAGES = {
    "adapter": ["adapter", "adapter"],
    "adapter-gguf": ["adapter", "adapter.gguf"],
    "adapter-gguf-base": ["adapter", "adapter.gguf", "--base", "tiny"],
    "adapter-gguf-misfit": ["adapter", "misfit.gguf", "--base", "tiny"],
    "check": ["check", "--file", "runs.toml"],
    "checkpoint": ["checkpoint", "model"],
    "chart": ["chart", "sizes", "llama-3.2-1b", "-o", "sizes.html"],
    "compare": ["compare", "llama-3.2-1b", "qwen2.5-0.5b"],
    "completion-install": ["completion", "install", "--shell", "fish"],
    "config": ["config", "axolotl.yml"],
    "config-several": ["config", "sft.yaml", "accelerate.yaml"],
    "diff": ["diff", "llama-3.2-1b", "qwen2.5-0.5b"],
    "diff-stored": ["diff", "tiny", "model", "--stored"],
    "diff-runs": ["diff-runs", "before.json", "after.json"],
    "doctor": ["doctor"],
    "explain": ["explain", "oom.txt", "llama-3.1-8b"],
    "explain-simulated": [
        "explain", "ranks.txt", "tiny", "--method", "full", "--batch-size", "64", "--seq-len", "4096", "--vram", "1GiB",
    ],
    "explain-startup": ["explain", "startup.log"],
    "fit-card": ["fit", "tiny", "--gpu", "T4", "--seq-len", "64"],
    "fit-card-too-small": [
        "fit", "tiny", "--method", "full", "--batch-size", "64", "--seq-len", "4096", "--vram", "1GiB", "--solve",
    ],
    "fit-other-makers": ["fit", "tiny", "--gpu", "MI300X", "--gpu", "TPU v5e"],
    "fit-ways": ["fit", "tiny", "--gpus", "2", "--gpu", "T4", "--method", "full", "--seq-len", "64"],
    "fit-serving": [
        "fit", "llama-3.1-8b", "--serving", "--users", "50", "--context", "8192", "--gpu", "L4", "--gpu", "A100-80GB",
    ],
    "fit-table": ["fit", "tiny", "--gpu", "T4", "--gpu", "RTX 3060", "--seq-len", "64"],
    "lab-lora": ["lab", "lora", "--recorded"],
    "lab-quantize": ["lab", "quantize", "--recorded"],
    "layers": ["layers", "tiny", "--expand"],
    "lora": ["lora", "tiny"],
    "measurements": ["measurements", "records"],
    "memory": ["memory", "tiny"],
    "memory-on-a-card": ["memory", "tiny", "--bits", "4", "--gpu", "M2 16GB"],
    "models": ["models", "smollm"],
    "replay": ["replay", "snapshot.pickle"],
    "replay-expandable": ["replay", "snapshot.pickle", "--alloc-conf", "expandable_segments:True"],
    "report": ["report", "llama-3.2-1b", "-o", "deck.html"],
    "run": ["run", "--gpu", "T4", "--gpu", "L4", "train.py"],
    "run-check": ["run", "--check", "parallel.py"],
    "simulate-finetune": ["simulate", "finetune", "tiny", "--seq-len", "64", "--gpu", "T4", "--solve"],
    "simulate-finetune-lengths": [
        "simulate", "finetune", "tiny", "--lengths", "lognormal:24,0.3,40", "--batch-size", "2", "--steps", "12",
        "--gpu", "T4",
    ],
    "simulate-finetune-config": ["simulate", "finetune", "--config", "sft.yaml", "--gpu", "T4"],
    "simulate-finetune-four-cards": [
        "simulate", "finetune", "tiny", "--method", "full", "--seq-len", "64", "--gpus", "4", "--parallel", "fsdp2",
    ],
    "simulate-finetune-too-large": [
        "simulate", "finetune", "tiny", "--method", "full", "--batch-size", "64", "--seq-len", "4096", "--vram", "1GiB",
    ],
    "simulate-generate": ["simulate", "generate", "tiny", "--prompt-len", "64", "--max-new-tokens", "4", "--solve"],
    "simulate-generate-other-maker": ["simulate", "generate", "tiny", "--prompt-len", "64", "--gpu", "RX 7900 XTX"],
    "simulate-generate-answering": ["simulate", "generate", "answering", "--prompt-len", "64", "--batch-size", "2"],
    "simulate-generate-hearing": ["simulate", "generate", "hearing", "--max-new-tokens", "4"],
    "simulate-generate-too-large": ["simulate", "generate", "llama-3.1-8b", "--vram", "1GiB"],
    "simulate-generate-two-ranks": [
        "simulate", "generate", "tiny", "--parallel", "tp:2", "--prompt-len", "64", "--max-new-tokens", "4",
    ],
    "simulate-generate-two-cards": ["simulate", "generate", "tiny", "--gpus", "2", "--prompt-len", "64"],
    "simulate-generate-refused-map": [
        "simulate", "generate", "llama-3.2-1b", "--bits", "4", "--max-memory", "0=400MiB,1=400MiB", "--gpus", "2",
    ],
    "serving": ["serving", "llama-3.1-8b", "--gpu", "RTX 4090", "--max-model-len", "32768"],
    "serving-hybrid": [
        "serving", "qwen3-next-80b-a3b-instruct", "--gpu", "H100", "--tensor-parallel-size", "4", "--made-up", "7",
    ],
    "table": ["table", "smollm2"],
    "serving-llamacpp": [
        "serving", "qwen3-30b-a3b", "--engine", "llama.cpp", "-c", "32768", "-ngl", "99", "-ctk", "q8_0",
        "--gpu", "RTX 3060",
    ],
    "serving-sglang": ["serving", "qwen3-14b", "--engine", "sglang", "--tp", "4", "--gpu", "RTX 4090"],
    "validate": ["validate", "published.json", "--form", "rtx4080_qlora"],
    "validate-serving": ["validate", "serving_llamacpp"],
}  # fmt: skip
VARIES = {
    r"(simulated|predicted) with torch.*?accelerate\s[\w.+]+": r"\1 with VERSIONS",
    r"python [\d.]+, torch.*?safetensors\s[\w.+]+": "VERSIONS",
    r"measured with torch .*? \((\d+ runs?)\)": r"measured with VERSIONS (\1)",
    r"(figures in|built in|bits in|schemes in) [\d.]+ s": r"\1 N s",
    r"\n[^\n]+, random weights": "\nDEVICE, random weights",
    r"(?<=resident set of the process)( +[\d.]+ GiB)+": " N",
    r"(?<=peak resident) +[\d.]+": " N",
    r"(?m)^(yes  \w+  +)\d+\.\d[\w.+]* *$": r"\1VERSION",
}
"""Other libraries, another machine, another day."""


def checked(page):
    """The page without what varies, once nothing of it is too wide or cut off."""
    assert max(map(len, page.splitlines())) <= 80
    assert "…" not in page
    for pattern, said in VARIES.items():
        page = re.sub(pattern, said, page, flags=re.DOTALL)
    return page


@pytest.mark.pinned  # pages name versions
@pytest.mark.parametrize("name", PAGES)
def test_page(name, inputs, golden, capsys):
    assert run(PAGES[name]) in {0, 1}
    out, err = capsys.readouterr()
    golden(f"pages/{name}.txt", checked(out + err))


@pytest.mark.pinned  # a column is as wide as the process is large, which is mostly libraries
def test_page_of_a_measurement(made, golden):
    golden("pages/measure.txt", checked((made / "measured.txt").read_text()))


def test_every_command_has_a_page():
    assert {page[0] for page in PAGES.values()} | {"measure"} == set(COMMANDS)
