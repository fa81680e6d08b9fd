"""Bad input: one clear line on standard error, exit code 2, nothing on standard output, never a traceback."""

import json
import os
import subprocess
import sys

import pytest

from inspector.cli.main import run
from inspector.sources.bundled import CONFIGS

LLAMA = json.loads((CONFIGS / "meta-llama--Llama-3.2-1B.json").read_text())


def complaint(capsys, *args):
    assert run(list(args)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("inspector: ")
    assert len(err.splitlines()) <= 2
    assert "Traceback" not in err
    return err


def test_an_unknown_name_lists_the_nearest(capsys):
    assert "meta-llama/Llama-3.1-8B" in complaint(capsys, "layers", "llama-3.1-9b")


def test_an_ambiguous_ending_lists_what_it_could_mean(capsys):
    err = complaint(capsys, "memory", "8b-instruct")
    assert "could mean" in err
    assert "Llama-3.1-8B-Instruct" in err


def test_an_unknown_command_names_the_nearest(capsys):
    assert "did you mean memory?" in complaint(capsys, "memry")


@pytest.mark.parametrize(
    "args", [["memory", "--bits", "3"], ["layers", "--depth", "0"], ["lora", "--r", "x"], ["memory", "--nope"]]
)
def test_bad_options_point_at_the_help_page(args, capsys):
    assert "--help" in complaint(capsys, *args)


CONFIG_TEXTS = {
    "empty": ("", "not JSON"),
    "not JSON": ("{nope", "not JSON"),
    "a list": ("[]", "JSON list"),
    "deep": ("[" * 200_000, "nested too deeply"),
    "a huge integer": ('{"vocab_size": ' + "9" * 5000 + "}", "not usable JSON"),
    "no model type": ("{}", "no model_type"),
    "a model type that is no name": ('{"model_type": ["llama"]}', "no model_type"),
    "binary": (b"\xff\xfe\x00\x01", "not text"),
}


@pytest.mark.parametrize("name", CONFIG_TEXTS)
def test_a_file_that_is_no_config(name, tmp_path, capsys):
    content, message = CONFIG_TEXTS[name]
    path = tmp_path / "config.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert message in complaint(capsys, "layers", str(path))


ABSURD = {
    "negative": {"num_hidden_layers": -1},
    "zero": {"hidden_size": 0},
    "a string": {"num_hidden_layers": "16"},
    "a fraction": {"vocab_size": 1.5},
    "true": {"vocab_size": True},
    "10^12 layers": {"num_hidden_layers": 10**12},
    "a vocabulary of 10^30": {"vocab_size": 10**30},
    "a nested one": {"text_config": {"num_hidden_layers": 10**9}},
}


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_sizes_are_refused_before_torch_is_imported(name, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**LLAMA, **ABSURD[name]}))
    code = (
        "import sys; from inspector.cli.main import run; code = run(['memory', sys.argv[1]]);"
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert next(iter(ABSURD[name])).partition(".")[0] in done.stderr or "num_hidden_layers" in done.stderr


def test_an_unknown_architecture_names_the_nearest(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "lama"}))
    assert "llama" in complaint(capsys, "layers", str(path))


def test_a_config_its_own_class_refuses(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**LLAMA, "rope_scaling": "yes", "hidden_act": "no-such-activation"}))
    assert "cannot be built" in complaint(capsys, "layers", str(path))


def test_a_missing_field_gets_the_architectures_default(tmp_path, capsys):
    """A config of only its type is the architecture's default model: transformers says what is missing."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "gpt2"}))
    assert run(["layers", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["num_parameters"] == 124_439_808


def test_a_folder_without_a_config(tmp_path, capsys):
    assert "no config.json" in complaint(capsys, "layers", str(tmp_path))


@pytest.mark.parametrize("name", ["./nothing", "/no/such/folder", "nothing.json", "a\x00b", "x" * 5000, ""])
def test_a_path_to_nothing(name, capsys):
    complaint(capsys, "layers", name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text("{}")
    path.chmod(0)
    assert "cannot read" in complaint(capsys, "layers", str(path))


def test_escape_codes_from_a_file_do_not_reach_the_terminal(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "\x1b[31mred\u202e"}))
    assert "\x1b" not in complaint(capsys, "layers", str(path))


def test_a_closed_pipe_is_no_error():
    done = subprocess.run(  # noqa: S602 -- the pipe is what is tested
        f"{sys.executable} -m inspector layers --expand | head -1",
        shell=True,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("meta-llama/Llama-3.1-8B")
    assert done.stderr == ""


def test_an_interrupt_is_one_line(monkeypatch, capsys):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("inspector.sources.resolve.resolve", interrupted)
    assert run(["layers"]) == 130
    assert capsys.readouterr().err.strip() == "inspector: interrupted"


def test_what_a_config_leaves_out_is_said(tmp_path, capsys):
    partial = {key: value for key, value in LLAMA.items() if key != "hidden_size"}
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**partial, "head_dim": 64}))
    assert run(["memory", str(path)]) == 0
    assert "transformers' defaults: hidden_size 4,096" in capsys.readouterr().out.replace("\n", " ")
