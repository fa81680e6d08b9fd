"""A small real model saved by transformers, and a hub on the loopback interface that serves it."""

import json
import socket

import pytest

from tests.sources import extras
from tests.sources.hub_server import Hub, serving

REPO = "acme/tiny-llama"

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


@pytest.fixture(scope="session")
def asked_of_extras(once):
    """The folder of what packages that are not in the environment made and said: `tests/sources/with_extras.py`."""
    return once("extras", extras.ask)


@pytest.fixture
def llama_config():
    return json.loads(json.dumps(LLAMA))


def loopback_only(real):
    def lookup(host, *args, **kwargs):
        assert host in {"127.0.0.1", b"127.0.0.1"}, f"a test asked for {host}"
        return real(host, *args, **kwargs)

    return lookup


@pytest.fixture
def hub(monkeypatch, saved_llama):
    """A hub that has one small model, and no other address to reach."""
    import huggingface_hub

    import inspector.sources.http as fetching

    made = Hub()
    made.add(REPO, {path.name: path.read_bytes() for path in saved_llama.iterdir()})
    with serving(made) as address:
        template = address + "/{repo_id}/resolve/{revision}/{filename}"  # as the library makes it of HF_ENDPOINT
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(socket, "getaddrinfo", loopback_only(socket.getaddrinfo))
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        monkeypatch.setattr(fetching, "TIMEOUT", 0.5)
        monkeypatch.setattr(fetching, "PAUSE", 0.01)
        yield made
