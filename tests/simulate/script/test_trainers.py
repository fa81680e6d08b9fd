"""What people do with transformers' Trainer and with trl, to its end, and trl's own command."""

import json
import re
from pathlib import Path

import pytest

from inspector.simulate.script.invocation import parse_invocation
from inspector.simulate.script.running import run

pytest.importorskip("trl")  # and the data sets it brings along
PROGRAMS = Path(__file__).parent / "programs"


def test_a_trainer_evaluates_saves_resumes_and_merges_after_the_steps(dry):
    report, out, err = dry((PROGRAMS / "trainers.py").read_text(), steps=2)
    assert report.script_exit_code == 0, err[-3000:]
    assert "FIRST 2 ['checkpoint-2']" in out
    assert "AGAIN 4 16" in out
    assert re.search(r"WROTE 14067712 cuda(:0)? 1", out)
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
