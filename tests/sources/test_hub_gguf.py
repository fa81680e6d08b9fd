"""GGUF files on the hub: their headers alone are read, from the loopback server."""

import pytest

from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.lenses.saved_adapter import read_adapter
from inspector.sources.resolve import locate
from tests.sources.gguf_files import made
from tests.sources.test_gguf import PARAMETERS, SHAPES, write

REPO = "acme/tiny-GGUF"


@pytest.fixture
def ggufs(hub, tmp_path):
    """A repository with one file, and another in two splits."""
    half, items = len(SHAPES) // 2, list(SHAPES.items())
    write(tmp_path / "tiny-Q4_K_M.gguf")
    write(tmp_path / "tiny-Q8_0-00001-of-00002.gguf", shapes=dict(items[:half]))
    write(tmp_path / "tiny-Q8_0-00002-of-00002.gguf", shapes=dict(items[half:]))
    hub.add(REPO, {path.name: path.read_bytes() for path in tmp_path.iterdir()})
    return tmp_path


@pytest.mark.parametrize("wanted", ["tiny-Q4_K_M.gguf", "q4_k_m"])
def test_a_file_on_the_hub_is_the_file_on_the_disk(hub, ggufs, wanted):
    remote, here = locate(f"{REPO}:{wanted}"), locate(str(ggufs / "tiny-Q4_K_M.gguf"))
    assert remote.checkpoint.by_name == here.checkpoint.by_name
    assert remote.checkpoint.file_bytes == here.checkpoint.file_bytes
    assert remote.skeleton.num_parameters == PARAMETERS
    hub.seen.clear()
    assert locate(f"{REPO}:{wanted}").checkpoint.tensors
    assert not any(path.endswith(".gguf") for path, _ in hub.seen)


def test_splits_are_read_together(hub, ggufs):
    assert {tensor.name for tensor in locate(f"{REPO}:Q8_0").checkpoint.tensors} == set(SHAPES)


def test_only_the_header_is_fetched(hub, ggufs, monkeypatch):
    """With a first range of 1 kB the header takes two more; the weights are not in any."""
    monkeypatch.setattr("inspector.sources.hub_gguf._FIRST", 1024)
    assert locate(f"{REPO}:Q4_K_M").checkpoint.tensors
    asked = [headers["range"] for path, headers in hub.seen if path.endswith(".gguf")]
    assert asked[:2] == ["bytes=0-1023", "bytes=0-16383"]
    assert int(asked[-1].rpartition("-")[2]) < (ggufs / "tiny-Q4_K_M.gguf").stat().st_size


def test_none_and_several_are_listed(hub, ggufs, capsys):
    for wanted in (":tiny", ":Q9", ""):
        assert run(["checkpoint", REPO + wanted]) == 2
        assert f"{REPO}:" in capsys.readouterr().err
    del hub.repos[REPO]["tiny-Q8_0-00002-of-00002.gguf"]
    with pytest.raises(InspectorError, match="has no"):
        _ = locate(f"{REPO}:Q8_0").checkpoint


def test_a_projector_in_the_same_type_does_not_stand_in_the_way(hub, ggufs):
    hub.repos[REPO]["mmproj-tiny-Q4_K_M.gguf"] = hub.repos[REPO]["tiny-Q4_K_M.gguf"]
    assert locate(f"{REPO}:Q4_K_M").checkpoint.files == ("tiny-Q4_K_M.gguf",)
    assert locate(f"{REPO}:mmproj").checkpoint.files == ("mmproj-tiny-Q4_K_M.gguf",)


def test_an_adapter_is_named_by_its_file(hub, tmp_path, capsys):
    pair = {"blk.0.attn_q.weight.lora_a": (8, 256), "blk.0.attn_q.weight.lora_b": (256, 8)}
    path = made(tmp_path / "lora.gguf", "llama", pair, tokens=0, general__type="adapter", adapter__type="lora")
    hub.add("acme/lora-GGUF", {"lora.gguf": (tmp_path / "lora.gguf").read_bytes()})
    there = read_adapter("acme/lora-GGUF:lora.gguf")
    assert (there.rank, there.modules, there.parameters) == (8, 1, 4096)
    assert there.parts == read_adapter(path).parts
    assert run(["adapter", "acme/lora-GGUF"]) == 2
    assert "acme/lora-GGUF:lora.gguf" in capsys.readouterr().err
    assert run(["adapter", f"{REPO}:Q4_K_M"]) == 2


def test_memory_works_on_it(hub, ggufs, capsys):
    assert run(["memory", f"{REPO}:Q4_K_M", "--scheme", "stored"]) == 0
    assert "gguf" in capsys.readouterr().out
