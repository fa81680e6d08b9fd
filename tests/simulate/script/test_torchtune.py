"""A recipe of torchtune for one card, where it is installed."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from inspector.simulate.script.invocation import parse_invocation
from inspector.simulate.script.running import run

pytest.importorskip("torchtune")

MODEL = """
output_dir: out
model:
  _component_: torchtune.models.llama3_2.lora_llama3_2
  lora_attn_modules: [q_proj, v_proj]
  vocab_size: 128264
  num_layers: 2
  num_heads: 4
  num_kv_heads: 2
  embed_dim: 32
  max_seq_len: 256
  intermediate_dim: 64
  lora_rank: 8
  lora_alpha: 16
tokenizer: {_component_: torchtune.models.llama3.llama3_tokenizer, path: model/tokenizer.model}
checkpointer:
  _component_: torchtune.training.FullModelHFCheckpointer
  checkpoint_dir: model
  checkpoint_files: [model.safetensors]
  output_dir: out
  model_type: LLAMA3_2
dataset: {_component_: torchtune.datasets.alpaca_dataset, source: json, data_files: rows.json, split: train}
max_steps_per_epoch: 2
gradient_accumulation_steps: 1
"""


def test_a_lora_recipe_for_one_card_runs_to_its_end(tmp_path, monkeypatch, capfd):
    import torch
    import torchtune
    from omegaconf import OmegaConf
    from safetensors.torch import save_file

    monkeypatch.chdir(tmp_path)
    Path("model").mkdir()
    sizes = {"q_proj": (32, 32), "k_proj": (16, 32), "v_proj": (16, 32), "o_proj": (32, 32)}
    tensors = {"model.embed_tokens.weight": (128264, 32), "model.norm.weight": (32,)}
    for at in range(2):
        layer = f"model.layers.{at}"
        tensors |= {f"{layer}.self_attn.{name}.weight": size for name, size in sizes.items()}
        tensors |= {f"{layer}.mlp.{name}.weight": (64, 32) for name in ("gate_proj", "up_proj")}
        tensors |= {f"{layer}.mlp.down_proj.weight": (32, 64)}
        tensors |= {f"{layer}.{name}.weight": (32,) for name in ("input_layernorm", "post_attention_layernorm")}
    save_file(
        {name: torch.zeros(size, dtype=torch.bfloat16) for name, size in tensors.items()}, "model/model.safetensors"
    )
    config = {"num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 32, "head_dim": 8}
    Path("model/config.json").write_text(json.dumps({**config, "vocab_size": 128264, "num_hidden_layers": 2}))
    ranks = "\n".join(f"{base64.b64encode(bytes([at])).decode()} {at}" for at in range(256))
    Path("model/tokenizer.model").write_text(ranks + "\n")
    Path("rows.json").write_text(json.dumps([{"instruction": "Say it", "input": "", "output": "It is so."}] * 16))
    recipes = Path(torchtune.__file__).parent.parent / "recipes" / "configs"
    whole = OmegaConf.merge(
        OmegaConf.load(recipes / "llama3_2" / "1B_lora_single_device.yaml"), OmegaConf.create(MODEL)
    )
    del whole.dataset.packed
    OmegaConf.save(whole, "lora.yaml")
    report = run(parse_invocation(["tune", "run", "lora_finetune_single_device", "--config", "lora.yaml"]), gpu="L4")
    assert report.script_exit_code == 0, capfd.readouterr().err[-3000:]
    assert report.steps == 2
    assert {"load", "first step", "steady step", "save"} <= {each.name for each in report.found_stages}
    assert {"adapters", "base weights", "optimizer state"} <= {share.name for share in report.alive_at_peak}
