"""Nothing personal is kept of an error or pasted into a report."""

import getpass
import json
import os
import socket
from pathlib import Path

import pytest

from inspector.cli.main import run
from inspector.store import scrubbed as room
from inspector.store.last_error import last_error
from inspector.store.scrubbed import scrubbed


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            'File "/opt/me/.venv/lib/python3.11/site-packages/torch/x.py", line 3',
            'File "site-packages/torch/x.py", line 3',
        ),
        ('File "/usr/lib/python3.12/json/decoder.py", line 3', 'File "python3.12/json/decoder.py", line 3'),
        ("no such file: /data/alice/runs/x.json", "no such file: .../x.json"),
        ("'/data/Al Ice/x y.json' is not", "'.../x y.json' is not"),
        ("C:\\Users\\alice\\x.py:3", ".../x.py:3"),
        ("in /home/alice: no", "in ...: no"),
        ("~alice/x and ~/y/z", ".../x and .../z"),
        ("http://alice:pw@proxy.corp:3128/x?y", "http://<host>"),
        ("https://huggingface.co/org/model?sig=3", "https://huggingface.co/org/model"),
        ("Bearer hf_abcdefgh1234", "Bearer <secret>"),
        ("token=abc --api-key 'x y'", "token=<secret> --api-key <secret>"),
        ("a@b.example 10.1.2.3", "<mail> <address>"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0", "<secret>"),
        # What is no secret stays.
        ("2,048 tokens: 512 of q_proj,v_proj", "2,048 tokens: 512 of q_proj,v_proj"),
        ("meta-llama/Llama-3.1-8B and/or 5.23.0", "meta-llama/Llama-3.1-8B and/or 5.23.0"),
        (
            "model.layers.0.self_attn.q_proj.lora_A.default.weight",
            "model.layers.0.self_attn.q_proj.lora_A.default.weight",
        ),
    ],
)
def test_texts(text, left):
    assert scrubbed(text) == left


def test_the_last_error_has_nothing_of_whoever_made_it(tmp_path, monkeypatch, capsys):
    """Its folder, its user, its host and its tokens, wherever they stand; and what was wrong is still told."""
    home = tmp_path / "Al Ice"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USER", "alicia")
    monkeypatch.setenv("MY_SECRET", "open sesame")
    monkeypatch.setattr(socket, "gethostname", lambda: "wonderland.example")
    room._own_words.cache_clear()
    monkeypatch.chdir(home)
    assert run(["layers", f"{home}/nowhere-of-alicia/config.json"]) == 2
    kept = last_error()
    assert (kept.exit_code, kept.command) == (2, "inspector layers '.../config.json'")
    assert "config.json" in kept.text

    def broken(*_args, **_kwargs):
        raise LookupError("alicia at wonderland in wonderland.example said open sesame, hf_ABCDEFGH12345678")

    monkeypatch.setattr("inspector.sources.resolve.resolve", broken)
    assert run(["layers"]) == 70
    assert run(["doctor", "--report", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["error"]["text"].endswith("LookupError: <user> at <host> in <host> said <secret>, <secret>")
    everything = json.dumps(said).lower()
    for word in (
        "al ice",
        "alicia",
        "wonderland",
        "sesame",
        "abcdefgh",
        str(Path.cwd()).lower(),
        os.environ["INSPECTOR_CACHE"].lower(),
    ):
        assert word not in everything
    assert said["versions"]["torch"] in said["block"]
    # No bad use of the report itself takes the error's place, and none that cannot be kept stops anything.
    monkeypatch.setenv("INSPECTOR_CACHE", os.devnull)
    assert run(["layers", "--nope"]) == 2
    assert last_error() is None
    room._own_words.cache_clear()


def test_the_user_of_this_machine_is_known():
    assert (getpass.getuser(), "<user>") in room._own_words()
