"""Adapters that are a prompt: taken whole by their encoder, as PEFT itself answers."""

import json

import pytest
import torch
from safetensors.torch import save_file

from inspector.lenses.saved_adapter import read_adapter

LLAMA = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 16, "intermediate_size": 32,
    "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 64,
}  # fmt: skip
WIDTHS = {"PROMPT_TUNING": 16, "PREFIX_TUNING": 32, "P_TUNING": 16}
"""Numbers of a virtual token: an embedding's, or a layer's key and value."""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    (folder / "config.json").write_text(json.dumps(LLAMA))
    return folder


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT asks transformers by its old name
@pytest.mark.parametrize("stored", ["whole", "of other tokens", "by another name"])
@pytest.mark.parametrize("kind", WIDTHS)
def test_a_prompt_is_answered_as_peft_does(kind, stored, base, tmp_path):
    from peft import PeftModel
    from transformers import LlamaConfig, LlamaForCausalLM

    said = {"peft_type": kind, "task_type": "CAUSAL_LM", "num_virtual_tokens": 4, "base_model_name_or_path": str(base)}
    (tmp_path / "adapter_config.json").write_text(json.dumps(said))
    name = "prompt_embedding" if stored == "by another name" else "prompt_embeddings"
    rows = 6 if stored == "of other tokens" else 4
    save_file({name: torch.zeros(rows, WIDTHS[kind])}, tmp_path / "adapter_model.safetensors")
    report = read_adapter(str(tmp_path), str(base))
    told = " ".join(f"{finding}" for finding in report.base.findings)
    model = LlamaForCausalLM(LlamaConfig(**{key: value for key, value in LLAMA.items() if key != "architectures"}))
    if stored == "whole":
        PeftModel.from_pretrained(model, tmp_path)
        assert report.base.answer.startswith("loads")
        assert "prompt_embeddings" not in told
        return
    error = KeyError if stored == "by another name" else RuntimeError
    with pytest.raises(error, match=r"prompt_embeddings|size mismatch"):
        PeftModel.from_pretrained(model, tmp_path)
    assert not report.base.answer.startswith("loads")
    assert "prompt_embeddings" in told
