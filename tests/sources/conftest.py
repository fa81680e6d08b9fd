"""A small real model saved by transformers, and a hub on the loopback interface that serves it."""

import json

import pytest

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 256, "dtype": "bfloat16",
    "tie_word_embeddings": False, "max_position_embeddings": 128,
}  # fmt: skip


@pytest.fixture(scope="session")
def saved_llama(tmp_path_factory):
    """A folder as ``save_pretrained`` writes it, in several shards with an index."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("saved") / "tiny-llama"
    model = LlamaForCausalLM(LlamaConfig(**{key: value for key, value in LLAMA.items() if key != "model_type"}))
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="100KB")
    return folder


@pytest.fixture
def llama_config():
    return json.loads(json.dumps(LLAMA))
