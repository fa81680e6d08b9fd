"""Small models and the runs that several tests look at."""

from __future__ import annotations

import json

import pytest

TINY = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256, "intermediate_size": 512,
    "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 4000,
    "max_position_embeddings": 4096, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip


@pytest.fixture(scope="session")
def tiny():
    return dict(TINY)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A folder with the small model's config, for what takes a model by its path."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "config.json").write_text(json.dumps(TINY))
    return str(folder)


@pytest.fixture(scope="session")
def report():
    from inspector.simulate import finetune

    return finetune(dict(TINY), recipe="peft-loop", seq_len=128, gpu="T4", keep_events=True)
