"""Links and things that are no files: the hub's own cache is made of links; loops, pipes and sockets must not hang."""

import json
import os
import socket
import struct

import pytest

from inspector.cli.main import run
from inspector.sources.resolve import locate
from tests.sources.conftest import LLAMA


def shard(name="w"):
    header = json.dumps({name: {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(4)


def refused(folder, capsys, command="checkpoint"):
    assert run([command, str(folder)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) <= 2
    return err


def test_a_snapshot_of_the_hubs_cache_is_a_folder_of_links(saved_llama, tmp_path, capsys):
    """``snapshots/<commit>/<name>`` are relative links to ``blobs/<hash>``, as huggingface_hub lays them out."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / ("0" * 40)
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(saved_llama.iterdir())):
        (blobs / f"{number:064x}").write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(f"../../blobs/{number:064x}")
    assert locate(str(snapshot)).checkpoint.by_name == locate(str(saved_llama)).checkpoint.by_name
    assert run(["checkpoint", str(snapshot), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing"] == []


def test_a_folder_that_is_a_link(saved_llama, tmp_path):
    (tmp_path / "link").symlink_to(saved_llama)
    assert locate(str(tmp_path / "link")).checkpoint.file_bytes == locate(str(saved_llama)).checkpoint.file_bytes


@pytest.mark.parametrize("target", ["gone", "model.safetensors", "../folder", "/dev/zero", "/proc/self/mem"])
def test_a_shard_that_is_a_link_to_no_file(target, tmp_path, capsys):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "model.safetensors").symlink_to(target)
    refused(folder, capsys)


@pytest.mark.parametrize("name", ["model.safetensors", "model.safetensors.index.json", "config.json", "x.gguf"])
@pytest.mark.parametrize("kind", ["pipe", "socket", "folder"])
def test_what_is_no_file_is_not_waited_for(name, kind, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path has to be short
    if kind == "pipe":
        os.mkfifo(name)
    elif kind == "folder":
        (tmp_path / name).mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(name)
    refused(tmp_path, capsys)


def test_an_index_may_name_links_and_no_other_folders(tmp_path, capsys):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "folder"
    elsewhere.mkdir()
    folder.mkdir()
    (elsewhere / "blob").write_bytes(shard())
    (folder / "a.safetensors").symlink_to(elsewhere / "blob")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "a.safetensors"}}))
    assert [tensor.name for tensor in locate(str(folder)).checkpoint.tensors] == ["w"]
    for outside in ("../elsewhere/blob.safetensors", str(elsewhere / "blob.safetensors"), "..\\x.safetensors"):
        index.write_text(json.dumps({"weight_map": {"w": outside}}))
        assert "points anywhere" in refused(folder, capsys).replace("could point", "points")


def test_a_shard_the_index_names_may_be_a_pipe_and_is_refused(tmp_path, capsys):
    os.mkfifo(tmp_path / "a.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": "a.safetensors"}}))
    refused(tmp_path, capsys)


def test_a_file_that_shrinks_is_said_to_be_cut_short(tmp_path, capsys):
    (tmp_path / "model.safetensors").write_bytes(shard()[:-2])
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    assert "truncated" in refused(tmp_path, capsys)


def test_a_checkpoint_is_compared_with_a_model_that_has_no_files(saved_llama, tmp_path, capsys):
    """One side is what its files store, the other what its architecture has, in the dtype it is published in."""
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, "num_hidden_layers": 3}))
    assert run(["diff", str(saved_llama), str(tmp_path), "--stored", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["before"] for row in found["tensors"]} == {""}
    assert {row["name"] for row in found["tensors"]} >= {"model.layers.*.mlp.up_proj.weight"}
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    assert run(["diff", str(saved_llama), str(tmp_path), "--stored", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["same"]
