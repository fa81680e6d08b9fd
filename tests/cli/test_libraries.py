"""A library that is missing, broken or too old: one line and exit code 2, an answer from what needs none of it."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

SITE = Path(sysconfig.get_paths()["purelib"])
ROOT = Path(__file__).parents[2]
TINY = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128,
    "max_position_embeddings": 4096, "dtype": "float16",
}  # fmt: skip
ASK = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from inspector.cli.main import run
for args in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(args)
    print(json.dumps([code, out.getvalue(), err.getvalue()]), file=sys.__stdout__)
"""


@pytest.fixture
def asked(tmp_path):
    """Ask commands, in one process, of an environment that lacks some packages and has others instead."""

    def ask(commands, *, without=(), instead=()):
        site = tmp_path / "site"
        site.mkdir()
        for entry in SITE.iterdir():
            name = entry.name.partition("-")[0].lower()
            installed = entry.name.endswith(".dist-info")  # what is there instead is installed, too
            if name not in without and (installed or name not in dict(instead)):
                (site / entry.name).symlink_to(entry)
        for name, code in instead:
            (site / name).mkdir()
            (site / name / "__init__.py").write_text(code)
        config = tmp_path / "config.json"
        config.write_text(json.dumps(TINY))
        commands = [[part.format(tiny=config) for part in args] for args in commands]
        env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{site}", "INSPECTOR_CACHE": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, "-S", "-c", ASK, json.dumps(commands)],
            capture_output=True, text=True, check=False, env=env,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [tuple(json.loads(line)) for line in done.stdout.splitlines()]

    return ask


NEED_TORCH = (
    ["layers", "{tiny}"],
    ["lora", "{tiny}"],
    ["simulate", "finetune", "llama-3.2-1b"],
    ["simulate", "generate", "llama-3.2-1b"],
    ["fit", "llama-3.2-1b", "--gpu", "T4"],
    ["fit", "llama-3.2-1b"],
    ["validate", "rtx4080_qlora"],
    ["measure", "llama-3.2-1b", "--layers", "1"],
)
NEED_NONE = (["memory", "llama-3.1-8b", "--bits", "4"], ["lora", "llama-3.1-8b"], ["models"])


def test_without_torch(asked):
    *refused, memory, lora, models, doctor = asked([*NEED_TORCH, *NEED_NONE, ["doctor", "--json"]], without=("torch",))
    for code, out, err in refused:
        assert (code, out) == (2, ""), err
        assert err.splitlines() == [
            "inspector: torch does not import: No module named 'torch'",
            "  pip install torch; `inspector doctor` looks at all of them",
        ]
    assert [code for code, _, _ in (memory, lora, models)] == [0, 0, 0]
    assert doctor[0] == 1
    checks = {check["name"]: check for check in json.loads(doctor[1])["checks"]}
    assert (checks["torch"]["state"], checks["torch"]["found"]) == ("no", "not installed")


def test_with_a_torch_that_does_not_import(asked):
    broken = "raise ImportError('libcudart.so.12: cannot open\\nshared object file')\n"
    *refused, memory, doctor = asked(
        [*NEED_TORCH, ["memory"], ["doctor", "--json"]], instead=[("torch", broken)]
    )  # fmt: skip
    for code, out, err in refused:
        assert (code, out) == (2, ""), err
        line, hint = err.splitlines()
        assert line == "inspector: torch does not import: libcudart.so.12: cannot open shared object file"
        assert hint.startswith("  pip install --force-reinstall torch")
    assert memory[0] == 0
    assert doctor[::2] == (1, "")
    check = next(check for check in json.loads(doctor[1])["checks"] if check["name"] == "torch")
    assert check["state"] == "no"
    assert "libcudart.so.12" in check["found"]
    assert check["fix"] == "pip install --force-reinstall torch"


def test_without_bitsandbytes_and_peft(asked):
    """Sixteen bits need no bitsandbytes, generation and full fine-tuning no peft."""
    full = ["simulate", "finetune", "{tiny}", "--method", "full", "--seq-len", "32", "--json"]
    generate = ["simulate", "generate", "{tiny}", "--prompt-len", "16", "--max-new-tokens", "4", "--json"]
    four = ["simulate", "finetune", "{tiny}", "--seq-len", "32"]
    lora = ["simulate", "finetune", "{tiny}", "--method", "lora", "--seq-len", "32"]
    answers = asked([full, generate, four, lora, [*generate, "--bits", "4"]], without=("bitsandbytes", "peft"))
    assert [code for code, _, _ in answers] == [0, 0, 2, 2, 2], answers
    assert answers[2][2].startswith("inspector: bitsandbytes does not import: No module named 'bitsandbytes'\n")
    assert answers[3][2].startswith("inspector: peft does not import: No module named 'peft'\n")
    assert "bitsandbytes" not in json.loads(answers[1][1])["versions"]


def test_a_library_that_is_too_old_is_named(monkeypatch, capsys):
    from inspector.architecture import libraries
    from inspector.cli.main import run

    monkeypatch.setattr(libraries, "version", {"torch": "2.0.1+cpu", "transformers": "5.0"}.get)
    monkeypatch.setattr(libraries, "_imported", set())
    assert run(["simulate", "generate", "llama-3.2-1b"]) == 2
    line, hint = capsys.readouterr().err.splitlines()
    least = libraries.floors()["torch"]
    assert line == f"inspector: torch 2.0.1+cpu is installed, and Inspector needs {least} or newer"
    assert hint == f"  pip install --upgrade 'torch>={least}'"
