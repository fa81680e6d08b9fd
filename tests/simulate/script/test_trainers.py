"""What people do with transformers' Trainer and with trl, to its end, and trl's own command."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from inspector.simulate.script.invocation import parse_invocation
from inspector.simulate.script.running import run

pytest.importorskip("trl")  # and the data sets it brings along
PROGRAMS = Path(__file__).parent / "programs"


def test_a_trainer_evaluates_saves_resumes_and_merges_after_the_steps(dry):
    report, out, err = dry((PROGRAMS / "trainers.py").read_text(), str(PROGRAMS), steps=2)
    assert report.script_exit_code == 0, err[-3000:]
    assert "FIRST 2 ['checkpoint-2']" in out
    assert "AGAIN 4 16" in out
    assert "BEAMS 9 9 9" in out
    assert re.search(r"WROTE 14067712 cuda(:0)? 1", out)
    # Those of trl that have no test of their own; `make scripts-trainers` runs each beside its real run.
    steps = {line.split()[1]: int(line.split()[2]) for line in out.splitlines() if line.startswith("SAYS")}
    assert steps == dict.fromkeys(["adapter", "kto", "orpo", "reward", "rloo"], 2)
    assert all(int(line.split()[2]) > 0 for line in out.splitlines() if line.startswith("PIECE"))
    assert {each.name for each in report.found_stages} == {
        "load", "adapters", "first step", "steady step", "evaluation", "generation", "save",
    }  # fmt: skip
    assert any("training after 2 optimizer steps" in line for line in report.skipped)
    names = {Path(path).name for path, _ in report.files}
    assert {"adapter_model.safetensors", "model.safetensors", "optimizer.pt"} <= names
    assert all(each.name.startswith("train.py:") or not each.name for each in report.lines_at_peak)


def test_trl_s_own_command(tmp_path, monkeypatch, forked):
    monkeypatch.chdir(tmp_path)
    said = [{"messages": [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "That."}]}] * 8
    Path("rows.jsonl").write_text("\n".join(json.dumps(row) for row in said))
    Path("sft.yaml").write_text(
        "model_name_or_path: EleutherAI/pythia-14m\ndataset_name: someone/chats\noutput_dir: out\nuse_peft: true\n"
        "lora_target_modules: all-linear\nload_in_4bit: true\nreport_to: none\nper_device_train_batch_size: 2\n"
    )
    what = parse_invocation(["trl", "sft", "--config", "sft.yaml"])
    report = run(what, gpu="T4", steps=1, data={"someone/chats": "rows.jsonl"}, quiet=True)
    assert (report.script_exit_code, report.steps, report.error) == (0, 1, "")
    assert {"load", "adapters", "first step", "save"} <= {each.name for each in report.found_stages}
    assert report.lines_at_peak[0].name.startswith("sft.py:")
    kinds = {share.name for share in report.alive_at_peak}
    assert {"base weights", "adapters", "quantization constants"} <= kinds


def test_every_trainer_stands_in_the_results_of_its_own_run(monkeypatch):
    """`make scripts-trainers` is run anew where a program changes; with other versions it tries all again."""
    path = Path(__file__).parents[3] / "benchmarks" / "trainers.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_trainers", path)
    benchmark = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, benchmark)
    monkeypatch.syspath_prepend("")  # what it puts there is put back
    spec.loader.exec_module(benchmark)
    rows = {row["name"]: row for row in map(json.loads, benchmark.RESULTS.read_text().splitlines())}
    assert set(benchmark.CASES) <= set(rows) <= set(benchmark.ALL)
    assert {name: row["text"] for name, row in rows.items()} == {name: benchmark.text(name) for name in rows}
    assert {row["verdict"] for row in rows.values()} == {"ran", "equal"}
