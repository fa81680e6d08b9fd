"""On the hub: a model's own code, pipelines and sentence-transformers models, over real sockets on the loopback."""

import json
import socket
import struct

import pytest
from huggingface_hub import constants

import inspector
import inspector.sources.http as fetching
from inspector.errors import InspectorError
from inspector.sources.resolve import locate, resolve
from tests.sources.conftest import LLAMA
from tests.sources.hub_server import Hub, serving
from tests.sources.test_own_code import CONFIGURATION, MODELING, OWN, PARAMETERS
from tests.sources.test_pipeline import CLIP
from tests.sources.test_sentence import BERT


@pytest.fixture
def hub(monkeypatch):
    made = Hub()
    with serving(made) as address:
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        real = socket.getaddrinfo

        def lookup(host, *args, **kwargs):
            assert host in {"127.0.0.1", b"127.0.0.1"}, f"a test asked for {host}"
            return real(host, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        monkeypatch.setattr(fetching, "TIMEOUT", 0.5)
        yield made


def shard(**shapes):
    """A safetensors file of float32 zeros."""
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 4
        for length in shape:
            size *= length
        header[name.replace("__", ".")] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def asked(hub):
    return [path for path, _ in hub.seen if path.endswith(".py")]


def test_own_code_is_fetched_and_run_only_when_trusted(hub, tmp_path, monkeypatch):
    marker = tmp_path / "marker"
    monkeypatch.setenv("MARKER", str(marker))
    code = {"configuration_own.py": CONFIGURATION, "modeling_own.py": MODELING, "../evil.py": "", "a/b.py": ""}
    hub.add("acme/own", {"config.json": json.dumps(OWN), **code})
    with pytest.raises(InspectorError, match="which was not run"):
        inspector.load("acme/own")
    assert asked(hub) == []
    assert not marker.exists()
    assert inspector.load("acme/own", trust_remote_code=True).num_parameters == PARAMETERS
    assert sorted(path.rpartition("/")[2] for path in asked(hub)) == ["configuration_own.py", "modeling_own.py"]
    assert marker.exists()


def test_code_of_another_repository(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("MARKER", str(tmp_path / "marker"))
    named = {auto: f"acme/code--{name}" for auto, name in OWN["auto_map"].items() if isinstance(name, str)}
    hub.add("acme/weights", {"config.json": json.dumps({**OWN, "auto_map": named})})
    hub.add("acme/code", {"configuration_own.py": CONFIGURATION, "modeling_own.py": MODELING})
    with pytest.raises(InspectorError, match="which was not run"):
        inspector.load("acme/weights")
    assert not [path for path, _ in hub.seen if "acme/code" in path]
    assert inspector.load("acme/weights", trust_remote_code=True).num_parameters == PARAMETERS


def test_a_pipeline(hub):
    index = {"_class_name": "P", "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "T"]}
    files = {"model_index.json": json.dumps(index), "text_encoder/config.json": json.dumps(CLIP)}
    hub.add("acme/sd", {**files, "text_encoder/model.safetensors": shard(a__weight=[2, 3])})
    source = locate("acme/sd")
    assert source.skeleton.architecture == "P"
    assert source.skeleton.num_parameters > 0
    assert source.checkpoint.by_name["text_encoder.a.weight"].shape == (2, 3)
    assert source.checkpoint.files == ("text_encoder/model.safetensors",)


def test_a_pipeline_read_before_is_one_offline_too(hub, monkeypatch):
    index = {"_class_name": "P", "text_encoder": ["transformers", "CLIPTextModel"]}
    hub.add("acme/sd", {"model_index.json": json.dumps(index), "text_encoder/config.json": json.dumps(CLIP)})
    online = locate("acme/sd").skeleton
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert locate("acme/sd").skeleton == online


def test_a_sentence_model(hub):
    package = "sentence_transformers.models"
    parts = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense")]
    lines = [{"idx": i, "path": at, "type": f"{package}.{cls}"} for i, (cls, at) in enumerate(parts)]
    hub.add("acme/st", {
        "modules.json": json.dumps(lines), "config.json": json.dumps(BERT), "1_Pooling/config.json": "{}",
        "2_Dense/config.json": json.dumps({"in_features": 32, "out_features": 8}),
        "2_Dense/model.safetensors": shard(linear__weight=[8, 32], linear__bias=[8]),
        "model.safetensors": shard(pooler__dense__bias=[32]),
    })  # fmt: skip
    source = locate("acme/st")
    assert source.skeleton.by_path["2_Dense.linear"].cls == "Linear"
    assert set(source.checkpoint.by_name) == {"2_Dense.linear.weight", "2_Dense.linear.bias", "pooler.dense.bias"}


def test_a_plain_model_asks_for_nothing_more(hub):
    hub.add("acme/plain", {"config.json": json.dumps(LLAMA), "modeling_evil.py": "raise SystemExit"})
    assert resolve("acme/plain").architecture == "LlamaForCausalLM"
    assert asked(hub) == []
