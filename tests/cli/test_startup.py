"""Commands on a known model import neither torch nor any other heavy library."""

import json
import subprocess
import sys

from inspector.cli.main import COMMANDS

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


def test_a_config_file_is_built_once(tmp_path, monkeypatch):
    """The second run of the same config is answered from the cache, without torch, under its own name."""
    from inspector.sources.bundled import CONFIGS

    monkeypatch.setenv("INSPECTOR_CACHE", str(tmp_path / "cache"))
    code = (
        "import sys; from inspector.cli.main import run; assert run(['memory', sys.argv[1], '--json']) == 0;"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    answers = []
    for name in ("mine", "other"):
        config = tmp_path / f"{name}.json"
        config.write_text((CONFIGS / "openai-community--gpt2.json").read_text())
        done = subprocess.run([sys.executable, "-c", code, str(config)], capture_output=True, text=True, check=True)
        answers.append((json.loads(done.stdout), done.stderr.splitlines()[-1]))
    (first, built), (second, cached) = answers
    assert (built, cached) == ("True", "False")
    assert (first.pop("model"), second.pop("model")) == ("mine", "other")
    assert first == second


def test_a_damaged_cache_entry_is_built_again_and_said_so(tmp_path, monkeypatch, inspector):
    from inspector.sources.bundled import CONFIGS

    monkeypatch.setenv("INSPECTOR_CACHE", str(tmp_path / "cache"))
    config = tmp_path / "config.json"
    config.write_text((CONFIGS / "openai-community--gpt2.json").read_text())
    first = inspector("layers", str(config))
    (entry,) = (tmp_path / "cache" / "skeletons").iterdir()
    entry.write_text(entry.read_text()[:500])
    second = inspector("layers", str(config))
    assert second.stdout == first.stdout
    assert "damaged" in second.stderr
