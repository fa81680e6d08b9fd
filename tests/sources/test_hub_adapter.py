"""Adapters on the hub: the config and the header of the weights alone are read, from the loopback server."""

import json
import struct

import huggingface_hub
import pytest
from safetensors.torch import save

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.lenses.saved_adapter import read_adapter
from tests.sources.hub_server import COMMIT

REPO = "acme/tiny-lora"
CONFIG = json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": "acme/tiny-llama"})


@pytest.fixture
def lora(hub, tmp_path):
    """A LoRA of rank 4 on two projections of 64 by 4,096, of 133 kB; the folder holds the same files."""
    import torch

    weights = save({
        f"base_model.model.model.layers.0.self_attn.{name}_proj.lora_{part}.weight": torch.zeros(shape)
        for name in "qv"
        for part, shape in {"A": (4, 4096), "B": (64, 4)}.items()
    })  # fmt: skip
    hub.add(REPO, {"adapter_config.json": CONFIG, "adapter_model.safetensors": weights, "README.md": "a lora"})
    (tmp_path / "adapter_config.json").write_text(CONFIG)
    (tmp_path / "adapter_model.safetensors").write_bytes(weights)
    return tmp_path


@pytest.mark.parametrize("reference", [REPO, f"{REPO}@main", f"{REPO}@{COMMIT}", f"hf:{REPO}"])
def test_an_adapter_on_the_hub_is_the_adapter_on_the_disk(hub, lora, reference):
    remote, here = read_adapter(reference).to_dict(), read_adapter(lora).to_dict()
    assert remote.pop("name") == REPO
    assert here.pop("name") == lora.name
    assert remote == here
    assert remote["merge_elements"] == 64 * 4096


def test_an_adapter_in_the_cache_of_huggingface_hub_is_read_offline(hub, lora, monkeypatch):
    cache = lora / "hub" / f"models--{REPO.replace('/', '--')}"  # as huggingface_hub lays it out
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(COMMIT)
    snapshot = cache / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (snapshot / name).symlink_to(lora / name)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(lora / "hub"))
    here, remote = read_adapter(lora).to_dict(), read_adapter(REPO).to_dict()
    assert remote.pop("name") == REPO
    assert here.pop("name") == lora.name
    assert remote == here


def test_only_the_config_and_the_header_are_fetched(hub, lora, monkeypatch):
    monkeypatch.setattr("inspector.sources.hub._FIRST", 64)
    read_adapter(REPO)
    asked = {path.rpartition("/")[2]: headers.get("range") for path, headers in hub.seen}
    assert set(asked) == {"main", "adapter_config.json", "adapter_model.safetensors"}
    length = struct.unpack("<Q", (lora / "adapter_model.safetensors").read_bytes()[:8])[0]
    assert asked["adapter_model.safetensors"] == f"bytes=0-{8 + length - 1}"


def test_the_command(hub, lora, capsys):
    assert run(["adapter", REPO, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["base_model"] == "acme/tiny-llama"
    assert run(["adapter", "acme/no-such-lora"]) == 2
    assert len(capsys.readouterr().err.splitlines()) <= 2


def test_pickles_and_what_is_no_adapter_are_refused(hub):
    hub.add(REPO, {"adapter_config.json": CONFIG, "adapter_model.bin": b"cos\nsystem\n"})
    with pytest.raises(InspectorError, match=r"adapter_model\.bin is a pickle") as refused:
        read_adapter(REPO)
    assert "safetensors" in refused.value.hint
    assert not any(path.endswith(".bin") for path, _ in hub.seen)
    with pytest.raises(InspectorError, match=r"no adapter_config\.json"):
        read_adapter("acme/tiny-llama")
    with pytest.raises(InspectorError, match="no name on the hub"):
        read_adapter("hf:nothing")
