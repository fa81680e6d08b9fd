"""Every key of every JSON document, as a list that a rebuilding may not change by accident."""

import json

import pytest

from inspector.cli.main import run

COMMANDS = {
    "layers": ["layers", "{tiny}", "--expand"],
    "memory": ["memory", "{tiny}"],
    "memory of a mixture": ["memory", "qwen3-30b-a3b", "--bits", "4"],
    "lora": ["lora", "{tiny}"],
    "compare": ["compare", "llama-3.2-1b", "qwen2.5-0.5b"],
    "config": ["config", "axolotl.yml"],
    "diff": ["diff", "llama-3.2-1b", "{tiny}"],
    "diff --stored": ["diff", "{tiny}", "{model}", "--stored"],
    "table": ["table", "smollm2"],
    "checkpoint": ["checkpoint", "{model}"],
    "adapter": ["adapter", "{adapter}"],
    "explain": ["explain", "oom.txt", "llama-3.1-8b"],
    "explain, simulated": [
        "explain", "ranks.txt", "{tiny}", "--method", "full", "--batch-size", "64", "--seq-len", "4096",
        "--vram", "1GiB",
    ],
    "explain, a start-up": ["explain", "startup.log", "--gpu", "T4"],
    "run": ["run", "--json", "--gpu", "T4", "train.py"],
    "run --check": ["run", "--check", "--json", "parallel.py"],
    "simulate finetune": ["simulate", "finetune", "{tiny}", "--seq-len", "64", "--gpu", "T4", "--solve"],
    "simulate finetune that does not fit": [
        "simulate", "finetune", "{tiny}", "--method", "full", "--batch-size", "64", "--seq-len", "4096",
        "--vram", "1GiB",
    ],
    "simulate finetune on two cards": [
        "simulate", "finetune", "{tiny}", "--method", "full", "--seq-len", "64", "--gpus", "2", "--parallel", "fsdp2",
    ],
    "simulate finetune --lengths": [
        "simulate", "finetune", "{tiny}", "--lengths", "lognormal:24,0.3,40", "--batch-size", "2", "--steps", "12",
        "--gpu", "T4",
    ],
    "simulate generate": ["simulate", "generate", "{tiny}", "--prompt-len", "64", "--max-new-tokens", "4"],
    "simulate generate on two cards": [
        "simulate", "generate", "{tiny}", "--gpus", "2", "--prompt-len", "64", "--max-new-tokens", "4",
    ],
    "fit, a table": ["fit", "{tiny}", "--gpu", "T4", "--gpu", "RTX 3060", "--seq-len", "64"],
    "fit on cards of others": ["fit", "{tiny}", "--gpu", "MI300X", "--gpu", "TPU v5e"],
    "memory on a card": ["memory", "{tiny}", "--bits", "4", "--gpu", "M2 16GB"],
    "fit --serving": ["fit", "{tiny}", "--serving", "--users", "3", "--gpu", "T4"],
    "fit on several cards": [
        "fit", "{tiny}", "--gpus", "2", "--gpu", "T4", "--method", "full", "--seq-len", "64",
    ],
    "fit on one card": ["fit", "{tiny}", "--gpu", "T4", "--seq-len", "64"],
    "fit on one card that is too small": [
        "fit", "{tiny}", "--method", "full", "--batch-size", "64", "--seq-len", "4096", "--vram", "1GiB", "--solve",
    ],
    "serving": ["serving", "{tiny}", "--gpu", "T4"],
    "validate": ["validate", "published.json", "--form", "rtx4080_qlora"],
    "validate serving_llamacpp": ["validate", "serving_llamacpp"],
    "replay": ["replay", "{snapshot}"],
    "lab quantize": ["lab", "quantize", "--recorded"],
    "lab lora": ["lab", "lora", "--recorded"],
    "measurements": ["measurements", "{records}"],
    "check": ["check", "--file", "runs.toml"],
    "diff-runs": ["diff-runs", "before.json", "after.json"],
    "doctor": ["doctor"],
    "doctor --report": ["doctor", "--report"],
}  # fmt: skip


def keys(value, path=""):
    """``a.b[].c`` for every key there is; what lists have in common is said once."""
    if isinstance(value, dict):
        yield from (found for name, item in value.items() for found in keys(item, f"{path}.{name}".lstrip(".")))
    elif isinstance(value, list):
        yield from (found for item in value for found in keys(item, f"{path}[]"))
    if path and not (isinstance(value, (dict, list)) and value):
        yield path


def listed(document):
    return "\n".join(sorted(set(keys(json.loads(document))))) + "\n"


# The one notes a transformers that is not the bundled model's, the other names each library that there is.
PINNED = {"explain", "doctor --report"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.pinned if name in PINNED else ()) for name in COMMANDS]
)
def test_keys(name, inputs, golden, capsys):
    words = [word.format(**inputs) for word in COMMANDS[name]]
    if name == "doctor --report":  # the last error is a part of it
        assert run(["layers", "nowhere"]) == 2
        capsys.readouterr()
    # Behind a script, it would be the script's.
    assert run(words if "--json" in words else [*words, "--json"]) in {0, 1}
    golden(f"json-keys/{name.replace(',', '').replace(' ', '-')}.txt", listed(capsys.readouterr().out))


def test_keys_of_a_measurement(made, golden):
    golden("json-keys/measure.txt", listed((made / "measured.json").read_text()))
