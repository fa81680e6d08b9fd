"""Commands on a known model import neither torch nor any other heavy library."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from inspector.cli.main import COMMANDS, run
from inspector.sources.bundled import CONFIGS

OOM = Path(__file__).parents[2] / "docs" / "examples" / "oom.txt"
HEAVY = {"torch", "transformers", "peft", "bitsandbytes", "accelerate", "pandas", "plotly", "numpy"}
LIGHT = [
    ["--help"],
    *([command, "--help"] for command in COMMANDS),
    ["layers"],
    ["layers", "kimi-k2-instruct", "--expand"],
    ["memory"],
    ["memory", "--json"],
    ["lora"],
    ["lora", "--csv"],
    ["explain", str(OOM), "llama-3.1-8b"],
    ["serving", "llama-3.1-8b", "--gpu", "A100-80GB"],
    ["serving", "llama-3.1-8b", "--gpu", "RTX 3060", "--engine", "llama.cpp", "-c", "8192"],
    ["lab", "quantize", "--recorded"],
    ["lab", "lora", "--recorded"],
]


def test_no_heavy_import():
    """One process runs them all: what the first of them that imports too much had imported is told."""
    code = (
        "import contextlib, io, json, sys; from inspector.cli.main import run\n"
        "for args in json.load(sys.stdin):\n"
        "    with contextlib.redirect_stdout(io.StringIO()): code = run(args)\n"
        f"    loaded = sorted({HEAVY!r} & set(sys.modules))\n"
        "    assert (code, loaded) == (0, []), (args, code, loaded)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(LIGHT), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_importing_the_package_costs_nothing():
    code = "import sys; before = set(sys.modules); import inspector; print(len(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 10


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A model that is not bundled, and a cache that has nothing of it."""
    monkeypatch.setenv("INSPECTOR_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine.json").write_text((CONFIGS / "openai-community--gpt2.json").read_text())
    return tmp_path / "mine.json"


def kept(config):
    """The skeletons in its cache."""
    return sorted((config.parent / "cache" / "skeletons").glob("*"))


def test_a_config_file_is_built_once(config, capsys):
    """The second run of the same config is answered from the cache, without torch, under its own name."""
    assert kept(config) == []
    assert run(["memory", str(config), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert len(kept(config)) == 1
    other = config.rename(config.with_name("other.json"))
    code = (
        "import sys; from inspector.cli.main import run; assert run(['memory', sys.argv[1], '--json']) == 0;"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(other)], capture_output=True, text=True, check=True)
    assert done.stderr == "False\n"
    second = json.loads(done.stdout)
    assert (first.pop("model"), second.pop("model")) == ("mine", "other")
    assert first == second


def test_a_damaged_cache_entry_is_built_again_and_said_so(config, capsys):
    assert run(["layers", str(config)]) == 0
    first, _ = capsys.readouterr()
    (entry,) = kept(config)
    whole = entry.read_text()
    entry.write_text(whole[:500])
    assert run(["layers", str(config)]) == 0
    second, said = capsys.readouterr()
    assert second == first
    assert "damaged" in said
    assert entry.read_text() == whole
