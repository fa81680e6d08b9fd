"""A real rank beside its simulated one: over gloo, in a world of one, and what is said where no launcher is."""

import socket

import pytest

from inspector.errors import InspectorError
from inspector.measure.options import spec_from
from inspector.measure.records import _name
from inspector.measure.report import measure

MODEL = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 32, "intermediate_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 97,
    "max_position_embeddings": 64, "tie_word_embeddings": False, "dtype": "float32",
}  # fmt: skip
SAID = {"bits": "32", "device": "cpu", "step": True, "seq_len": 16, "batch_size": 1}


@pytest.fixture
def launched(monkeypatch):
    """As torchrun tells the first of one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)


@pytest.mark.parametrize("way", ["ddp", "fsdp2"])
def test_a_rank_is_measured_as_it_is_simulated(way, launched, tmp_path, measured_here):
    import json

    measured_here()
    (tmp_path / "config.json").write_text(json.dumps(MODEL))
    found = measure(spec_from(str(tmp_path), {**SAID, "parallel": way}))
    assert found.status == "measured"
    assert (found.spec.rank, found.spec.world_size) == (0, 1)
    assert found.agrees, [(each.name, each.difference) for each in found.comparisons]
    assert f"_{way}-rank-0-of-1_" in _name(found)


def test_without_a_launcher_or_steps_it_is_one_line(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for options, told in (
        ({"parallel": "fsdp2"}, "no launcher has started"),
        ({"parallel": "fsdp2", "step": None}, "training steps"),
        ({"parallel": "zero3"}, "is not measured"),
    ):
        with pytest.raises(InspectorError, match=told):
            spec_from("gpt2", {**SAID, **options})
