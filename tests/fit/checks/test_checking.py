"""Runs simulated and held to their limits: exit codes, what stays in the file, and what is asked of torch."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import inspector
from inspector.cli.main import run
from inspector.errors import InspectorError
from inspector.fit.checks import checking

TINY = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128,
    "max_position_embeddings": 4096, "dtype": "float16",
}  # fmt: skip
FILE = """[build-system]   # kept
requires = [ "setuptools" ]

[tool.inspector]
length = 64 # of all

[tool.inspector.runs.train]
  model = "tiny"
  method = "lora"
  target-modules = ["q_proj", "v_proj"]
  limits = [
    "peak <= 1 GiB", # generous
    "trainable <= 5 %",
  ]
  fits = "T4"

# about the next one
[tool.inspector.runs."by file"]
config = "tiny.yaml"
peak = "<= 100 MiB"
fits = "600 MiB"
"""


@pytest.fixture
def project(tmp_path, monkeypatch, kept_answers):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(TINY))
    (tmp_path / "tiny.yaml").write_text("model: tiny\nmethod: lora\ntarget_modules: [q_proj, v_proj]\nseq_len: 64\n")
    (tmp_path / "pyproject.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_check_says_what_broke_and_update_touches_one_line_a_run(project, capsys):
    assert run(["check", "train"]) == 0
    assert "1 run, every limit holds" in capsys.readouterr().out
    assert run(["check", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    train, by_file = said["runs"]
    assert said["broken"] == ["by file"]
    # Two of seven linear layers of each of two, rank 8, as PEFT's own print says it.
    assert (train["trainable_parameters"], train["all_parameters"]) == (
        3584,
        inspector.load("tiny").num_parameters + 3584,
    )
    assert by_file["limits"][0]["over"] == by_file["figures"]["peak_bytes"] - 100 * 2**20 > 0
    assert (by_file["fits"][0]["gpu"], by_file["fits"][0]["holds"]) == (
        "600 MiB",
        by_file["fits"][0]["margin_bytes"] >= 0,
    )
    assert sum(train["report"]["alive_at_peak"].values()) == train["figures"]["allocated_bytes"]

    assert inspector.check(update=True).holds is False
    lines, before = (project / "pyproject.toml").read_text().splitlines(), FILE.splitlines()
    assert [line for line in lines if "today = " not in line] == before
    mine, other = (line for line in lines if "today = " in line)
    assert lines.index(mine) == before.index('  fits = "T4"') + 1
    assert mine.startswith('  today = { peak = "')
    assert lines[-1] == other
    # Again: the same lines stand, and what somebody made of them is told.
    inspector.check(update=True)
    assert (project / "pyproject.toml").read_text().splitlines() == lines
    (project / "pyproject.toml").write_text("\n".join(lines).replace('T4 = "fits, ', 'T4 = "tight, '))
    (train,) = inspector.check(names=["train"]).runs
    assert list(train.was) == ["T4"]


def test_a_file_that_is_written_otherwise_is_left_alone(project):
    file = project / "pyproject.toml"
    inline = (
        '[tool.inspector.runs]\na = { model = "tiny", method = "lora", target-modules = ["q_proj"], seq-len = 64 }\n'
    )
    file.write_text(inline)
    with pytest.raises(InspectorError, match="is no table of its own"):
        inspector.check(update=True)
    assert file.read_text() == inline
    table = FILE.replace('  fits = "T4"', '  fits = "T4"\n  today.peak = "1 MiB"')
    file.write_text(table)
    with pytest.raises(InspectorError, match="without changing more of it"):
        inspector.check(names=["train"], update=True)
    assert file.read_text() == table
    file.write_text(FILE)
    # What somebody writes while it is checked is theirs.
    with pytest.raises(InspectorError, match="was changed while"):
        inspector.check(update=True, progress=lambda _: file.write_text(FILE + "\n# mine\n"))
    assert file.read_text().endswith("# mine\n")


def test_ctrl_c_loses_nothing(project, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    assert run(["check", "train", "--update"]) == 130
    assert (project / "pyproject.toml").read_text() == FILE
    assert sorted(path.name for path in project.iterdir()) == ["pyproject.toml", "tiny", "tiny.yaml"]


def test_a_run_that_cannot_be_simulated_is_named_and_the_others_are_answered(project, capsys):
    (project / "pyproject.toml").write_text(FILE.replace('["q_proj", "v_proj"]', '["nope"]'))
    with pytest.raises(InspectorError, match=r"pyproject.toml:7: the run 'train': "):
        inspector.check(names=["train"])
    assert run(["check", "--json"]) == 2
    said = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in said["runs"]] == ["by file"]
    assert [(each["name"], each["at"]) for each in said["failed"]] == [("train", "pyproject.toml:7")]
    assert "nope" in said["failed"][0]["error"]
    assert not said["holds"]
    assert run(["check"]) == 2
    assert "train without an answer" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(InspectorError, match=r"no run named 'tran'.*did you mean train"):
        inspector.check(names=["tran"])
    (project / "pyproject.toml").write_text(FILE.replace('"peak <= 1 GiB"', '"cache <= 1 GiB"'))
    with pytest.raises(InspectorError, match="of finetune cache is not known"):
        inspector.check(names=["train"])


def test_what_is_kept_is_checked_without_torch(project):
    inspector.check(names=["train"])
    code = "import sys, inspector; inspector.check(names=['train']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_script_that_fails_breaks_its_run(project, monkeypatch):
    """Its figures are those up to where it ended; the cards it must fit are asked in one run."""
    asked = []

    def run_script(what, *, gpu, output_to_stderr, **_):
        from inspector.gpus import find_gpu
        from inspector.simulate.on_card import Peaks
        from inspector.simulate.script.report import CardVerdict

        asked.append((what.name, what.argv, gpu))

        peaks = Peaks(1, 2, 3, 10, "freely")
        verdicts = tuple(CardVerdict(find_gpu(name), peaks, same_trace=True) for name in gpu)
        return SimpleNamespace(
            kind="script", script_exit_code=1, error="ValueError: no", steady_allocated_bytes=1, peaks=peaks,
            verdicts=verdicts, gpu=verdicts[0].gpu,
        )  # fmt: skip

    (project / "train.py").write_text("")
    (project / "pyproject.toml").write_text(
        '[tool.inspector.runs.s]\nscript = "train.py --lr 1"\nargs = "-b 2"\n'
        'fits = ["T4", "L4"]\nlimits = "peak <= 5 B"\n'
    )
    monkeypatch.setattr("inspector.simulate.script.running.run", run_script)
    (checked,) = checking.check().runs
    assert asked == [("train.py", ("--lr", "1", "-b", "2"), ["T4", "L4"])]
    assert [each.card for each in checked.fits] == ["T4", "L4"]
    # So far, which is no verdict.
    assert checked.limits[0].holds is None
    assert [each.holds for each in checked.fits] == [None, None]
    assert not checked.holds
    assert "exit code 1: ValueError: no" in checked.error
    before = (project / "pyproject.toml").read_text()
    checking.check(update=True)
    assert (project / "pyproject.toml").read_text() == before
