"""The hub a second time: offline, down, moved on, slow, and with a thousand shards; as the command line tells it."""

import email.utils
import json
import os
import pty
import struct
import subprocess
import sys
import time
from types import SimpleNamespace

import huggingface_hub
import pytest

import inspector.sources.http as fetching
from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.sources.hub_id import hub_model
from inspector.sources.resolve import locate
from tests.sources.conftest import REPO
from tests.sources.hub_server import COMMIT


def checkpoint(capsys, reference=REPO):
    code = run(["checkpoint", reference, "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else None, err


def shard(number):
    header = json.dumps({f"model.layers.{number}.w": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(8)


def many(count):
    files = {f"model-{number:05}-of-{count:05}.safetensors": shard(number) for number in range(count)}
    index = {"weight_map": {f"model.layers.{number}.w": name for number, name in enumerate(files)}}
    return {**files, "model.safetensors.index.json": json.dumps(index)}


def test_offline_what_was_read_before_answers_and_says_so(hub, monkeypatch, capsys):
    _, online, _ = checkpoint(capsys)
    hub.seen.clear()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    code, offline, said = checkpoint(capsys)
    assert (code, offline) == (0, online)
    assert said == f"inspector: offline: using what was read of {REPO} before ({COMMIT[:12]})\n"
    assert hub.seen == []


def test_offline_a_model_whose_headers_were_not_read_says_so(hub, monkeypatch, capsys):
    assert locate(REPO).config  # and not its shards
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    code, _, said = checkpoint(capsys)
    assert code == 2
    assert "HF_HUB_OFFLINE is set" in said
    assert run(["layers", REPO, "--json"]) == 0


@pytest.mark.parametrize("trouble", ["down", "rate-limited", "refused connections"])
def test_a_hub_in_trouble_is_answered_for_by_what_was_read_before(hub, monkeypatch, capsys, trouble):
    _, online, _ = checkpoint(capsys)
    if trouble == "refused connections":
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", huggingface_hub.constants.ENDPOINT)
        hub.server.shutdown()
        hub.server.server_close()
    else:
        hub.errors[REPO] = {"down": 503, "rate-limited": 429}[trouble]
    code, again, said = checkpoint(capsys)
    assert (code, again) == (0, online)
    assert "using what was read of it before" in said


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_is_refused_now_is_not_answered_from_before(hub, capsys, status):
    checkpoint(capsys)
    hub.errors[REPO] = status
    code, _, said = checkpoint(capsys)
    assert code == 2
    assert "before" not in said


def test_a_branch_that_moved_is_read_again(hub, capsys):
    checkpoint(capsys)
    hub.add(REPO, {"model.safetensors": shard(7)})
    hub.commit = "f" * 40
    assert [tensor.name for tensor in hub_model(REPO).checkpoint.tensors] == ["model.layers.7.w"]


def test_a_commit_is_a_revision(hub):
    assert hub_model(f"{REPO}@{COMMIT}").commit == COMMIT


def test_a_gated_model_that_is_bundled_is_the_bundled_one_and_said_so(hub, capsys):
    """The hub lists a gated model's files to everyone and refuses each of them."""
    hub.add("meta-llama/Llama-3.1-8B", {"config.json": "{}"})
    hub.gated.add("meta-llama/Llama-3.1-8B")
    assert run(["layers", "hf:meta-llama/Llama-3.1-8B", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["num_parameters"] == 8_030_261_248
    assert err == "inspector: meta-llama/Llama-3.1-8B is gated; using the bundled one\n"


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_server_that_asks_for_a_moment_is_given_it(hub, form, monkeypatch):
    waited = []
    clock = SimpleNamespace(time=time.time, monotonic=time.monotonic, sleep=waited.append)
    monkeypatch.setattr(fetching, "time", clock)
    hub.retry_after = "3" if form == "seconds" else email.utils.formatdate(time.time() + 4, usegmt=True)
    hub.errors[REPO] = [429]
    assert hub_model(REPO).config
    (wait,) = waited
    assert wait == 3 if form == "seconds" else 2 < wait <= 4


def test_how_long_a_server_asks_to_wait_is_told(hub, capsys):
    hub.retry_after = "3600"
    hub.errors[REPO] = 429
    code, _, said = checkpoint(capsys)
    assert code == 2
    assert "wait 3,600 seconds" in said


@pytest.mark.slow
def test_hundreds_of_shards_are_read_in_parallel(hub):
    hub.add("acme/wide", many(400))
    started = time.monotonic()
    found = hub_model("acme/wide").checkpoint
    assert len(found.tensors) == 400
    assert found.file_bytes == sum(len(data) for name, data in hub.repos["acme/wide"].items() if "index" not in name)
    assert 2 <= hub.most_busy <= 8
    assert time.monotonic() - started < 30


def test_more_shards_than_any_model_has_are_not_asked_for(hub, capsys):
    index = {"weight_map": {str(number): f"{number}.safetensors" for number in range(10_001)}}
    hub.add(REPO, {"model.safetensors.index.json": json.dumps(index)})
    code, _, said = checkpoint(capsys)
    assert code == 2
    assert "10,001 files are over the limit" in said
    assert len(hub.seen) == 2


def test_progress_is_shown_to_a_terminal_and_to_nobody_else(hub):
    hub.add(REPO, many(24))
    hub.behave["hang"] = 0.3
    environment = {**os.environ, "HF_ENDPOINT": huggingface_hub.constants.ENDPOINT, "HF_HUB_OFFLINE": "0"}
    command = [sys.executable, "-m", "inspector", "checkpoint", REPO, "--json"]
    other = {**environment, "INSPECTOR_CACHE": f"{environment['INSPECTOR_CACHE']}-other"}
    ours, theirs = pty.openpty()
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=other) as silent,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env={**environment, "TERM": "xterm"}) as run,
    ):
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            seen += piece
        out = run.stdout.read()
        assert silent.communicate()[1] == b""
    os.close(ours)
    assert (run.returncode, silent.returncode) == (0, 0), seen
    assert json.loads(out)["num_tensors"] == 24
    assert b"headers" in seen
    assert b"24" in seen


def test_a_server_that_says_nothing_is_tried_once(hub, monkeypatch):
    """Three times its patience kept a user for 35 seconds; where an answer fails at once it is still asked again."""
    monkeypatch.setattr(fetching, "PATIENCE", 0.4)
    hub.behave["hang"] = 1.5
    started = time.monotonic()
    with pytest.raises(InspectorError, match="did not answer"):
        hub_model(REPO)
    assert time.monotonic() - started < 1.2
