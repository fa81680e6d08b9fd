"""Every key of every JSON document, as a list that a rebuilding may not change by accident."""

import json

import pytest

from inspector.cli.main import run

TINY = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128,
    "max_position_embeddings": 4096, "dtype": "float16",
}  # fmt: skip
ADAPTER = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
COMMANDS = {
    "layers": ["layers", "{tiny}", "--expand"],
    "memory": ["memory", "{tiny}"],
    "memory of a mixture": ["memory", "qwen3-30b-a3b", "--bits", "4"],
    "lora": ["lora", "{tiny}"],
    "compare": ["compare", "llama-3.2-1b", "qwen2.5-0.5b"],
    "diff": ["diff", "llama-3.2-1b", "{tiny}"],
    "diff --stored": ["diff", "{tiny}", "{model}", "--stored"],
    "table": ["table", "smollm2"],
    "checkpoint": ["checkpoint", "{model}"],
    "adapter": ["adapter", "{adapter}"],
    "simulate finetune": ["simulate", "finetune", "{tiny}", "--seq-len", "64", "--gpu", "T4", "--solve"],
    "simulate finetune that does not fit": [
        "simulate", "finetune", "{tiny}", "--method", "full", "--batch-size", "64", "--seq-len", "4096",
        "--vram", "1GiB",
    ],
    "simulate generate": ["simulate", "generate", "{tiny}", "--prompt-len", "64", "--max-new-tokens", "4"],
    "fit, a table": ["fit", "{tiny}", "--gpu", "T4", "--gpu", "RTX 3060", "--seq-len", "64"],
    "fit on one card": ["fit", "{tiny}", "--gpu", "T4", "--seq-len", "64"],
    "fit on one card that is too small": [
        "fit", "{tiny}", "--method", "full", "--batch-size", "64", "--seq-len", "4096", "--vram", "1GiB", "--solve",
    ],
    "validate": ["validate", "rtx4080_qlora"],
    "replay": ["replay", "{snapshot}"],
    "measure": [
        "measure", "{tiny}", "--device", "cpu", "--bits", "4", "--lora", "--step", "--seq-len", "16", "--quality",
    ],
    "measurements": ["measurements", "{records}"],
    "doctor": ["doctor"],
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A config, a checkpoint, an adapter, a snapshot and a record."""
    import torch
    from safetensors.torch import save_file

    from inspector.architecture import build_model

    folder = tmp_path_factory.mktemp("files")
    names = {name: folder / name for name in ("tiny", "model", "adapter", "records")}
    for path in names.values():
        path.mkdir()
    for name in ("tiny", "model"):
        (names[name] / "config.json").write_text(json.dumps(TINY))
    weights = {name: torch.zeros(tuple(each.shape)).half() for name, each in build_model(TINY).state_dict().items()}
    save_file(weights, names["model"] / "model.safetensors")
    (names["adapter"] / "adapter_config.json").write_text(json.dumps(ADAPTER))
    lora = {f"base_model.model.model.layers.0.self_attn.q_proj.lora_{letter}.weight": shape for letter, shape in
            (("A", (4, 64)), ("B", (64, 4)))}  # fmt: skip
    save_file(
        {name: torch.zeros(shape) for name, shape in lora.items()}, names["adapter"] / "adapter_model.safetensors"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSPECTOR_DATA", str(folder / "data"))
        names["snapshot"] = folder / "snapshot.pickle"
        assert (
            run(["simulate", "finetune", str(names["tiny"]), "--seq-len", "64", "--trace", str(names["snapshot"])]) == 0
        )
        assert run(["measure", str(names["tiny"]), "--layers", "1", "--device", "cpu", "--bits", "4", "--save"]) == 0
        (record,) = (folder / "data").rglob("*.json")
        record.rename(names["records"] / record.name)
    return {name: str(path) for name, path in names.items()}


def keys(value, path=""):
    """``a.b[].c`` for every key there is; what lists have in common is said once."""
    if isinstance(value, dict):
        yield from (found for name, item in value.items() for found in keys(item, f"{path}.{name}".lstrip(".")))
    elif isinstance(value, list):
        yield from (found for item in value for found in keys(item, f"{path}[]"))
    if path and not (isinstance(value, (dict, list)) and value):
        yield path


@pytest.mark.parametrize("name", COMMANDS)
def test_keys(name, files, golden, capsys):
    assert run([word.format(**files) for word in COMMANDS[name]] + ["--json"]) in {0, 1}
    found = sorted(set(keys(json.loads(capsys.readouterr().out))))
    golden(f"json-keys/{name.replace(',', '').replace(' ', '-')}.txt", "\n".join(found) + "\n")
