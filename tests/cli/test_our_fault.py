"""A mistake of ours, in any command: a traceback, exit code 70, and nothing kept on disk."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inspector.cli import simulate
from inspector.cli.main import COMMANDS, run
from inspector.errors import OUR_FAULT

TINY = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128,
    "max_position_embeddings": 4096, "dtype": "float16",
}  # fmt: skip
BROKEN = {
    "layers": (["layers", "{tiny}"], "inspector.architecture.read.read_facts"),
    "memory": (["memory", "{tiny}"], "inspector.lenses.weights._group"),
    "lora": (["lora", "llama-3.2-1b"], "inspector.lora.report._row"),
    "simulate finetune": (["simulate", "finetune", "{tiny}"], "inspector.simulate.finetuning.summarize"),
    "simulate generate": (["simulate", "generate", "{tiny}"], "inspector.simulate.program.decoding_loop.grow_layer"),
    "fit": (["fit", "{tiny}", "--gpu", "T4", "--gpu", "L4"], "inspector.fit.table.peaks_on"),
    "fit on one card": (["fit", "{tiny}", "--gpu", "T4"], "inspector.simulate.finetuning.summarize"),
    "serving": (["serving", "{tiny}"], "inspector.serving.vllm.engine.vllm_cache"),
    "validate": (["validate", "rtx4080_qlora"], "inspector.validation.ledger.simulate"),
    "compare": (["compare", "llama-3.2-1b", "qwen2.5-0.5b"], "inspector.lenses.compare._same"),
    "report": (["report", "-o", "{folder}/page.html"], "inspector.render.deck.deck_html"),
    "chart": (["chart", "levels", "-o", "{folder}/chart.html"], "inspector.render.charts.files.chart_bytes"),
    "config": (["config", "{folder}/sft.yaml"], "inspector.simulate.setup.configured._merged"),
    "explain": (["explain", "{folder}/train.py"], "inspector.explain.explaining.places"),
    "run": (["run", "{folder}/train.py"], "inspector.simulate.script.running.read_outcome"),
    "replay": (["replay", "{tiny}"], "inspector.simulate.snapshot.recording.read_recording"),
    "measure": (["measure", "{tiny}", "--device", "cpu"], "inspector.measure.report.make_order"),
    "measurements": (["measurements", "{folder}"], "inspector.measure.records.find_records"),
    "lab quantize": (["lab", "quantize", "--recorded"], "inspector.lab.recorded.read_json_object"),
    "lab lora": (["lab", "lora", "--recorded"], "inspector.lab.rules.by_rank"),
    "completion": (["completion", "install", "--shell", "fish"], "inspector.cli.completion.install.places"),
    "doctor": (["doctor"], "inspector.measure.doctor._hub"),
    "doctor --report": (["doctor", "--report"], "inspector.measure.doctor_report.last_error"),
    "check": (["check", "--file", "{folder}/runs.toml"], "inspector.fit.advise.answer"),
    "diff-runs": (["diff-runs", "{tiny}", "{tiny}"], "inspector.fit.checks.difference.read_documents"),
    "checkpoint": (["checkpoint", "{tiny}"], "inspector.sources.resolve.locate"),
    "adapter": (["adapter", "{tiny}"], "inspector.lenses.saved_adapter.read_adapter"),
    "diff": (["diff", "llama-3.2-1b", "qwen2.5-0.5b"], "inspector.lenses.diff.diff"),
    "table": (["table", "smollm2"], "inspector.lenses.table.table_row"),
    "models": (["models"], "inspector.sources.bundled.model_ids"),
}  # fmt: skip
"""A command, and a function in the middle of it."""


@pytest.mark.parametrize("case", BROKEN)
def test_a_mistake_of_ours_is_a_traceback_and_70(case, tmp_path, monkeypatch, capsys):
    args, function = BROKEN[case]

    def broken(*_args, **_kwargs):
        raise LookupError("a mistake of ours")

    monkeypatch.setattr(function, broken)
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    (tmp_path / "train.py").write_text("print('trained')")
    (tmp_path / "runs.toml").write_text("[runs.a]\nmodel = 'llama-3.2-1b'\n")
    (tmp_path / "sft.yaml").write_text("model_name_or_path: tiny\nmax_length: 64\n")
    args = [part.format(tiny=tmp_path / "config.json", folder=tmp_path) for part in args]
    assert run(args) == OUR_FAULT == 70
    said = capsys.readouterr().err
    assert said.count("Traceback") >= 1
    assert said.rstrip().endswith("LookupError: a mistake of ours")
    kept = Path(os.environ["INSPECTOR_CACHE"])
    assert not [path for path in kept.rglob("*.json") if b"mistake" in path.read_bytes()]
    assert not list((kept / "dryruns").glob("*"))


def test_every_command_is_broken_here():
    words = {case[0][0] for case in BROKEN.values()} | {" ".join(case[0][:2]) for case in BROKEN.values()}
    assert set(COMMANDS) <= words
    assert {f"simulate {name}" for name in simulate.command.names} <= words


def test_a_process_ends_with_70():
    code = (
        "import sys, inspector.sources.bundled as b; b.model_ids = lambda: 1 / 0;"
        "sys.argv[1:] = ['models']; import runpy; runpy.run_module('inspector', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (70, "")
    assert done.stderr.rstrip().endswith("ZeroDivisionError: division by zero")


def test_what_a_file_wrote_into_a_traceback_is_safe_to_print(monkeypatch, capsys):
    def broken(*_args, **_kwargs):
        raise LookupError("\x1b[31mred\u202e")

    monkeypatch.setattr("inspector.sources.resolve.resolve", broken)
    assert run(["layers"]) == OUR_FAULT
    assert "\x1b" not in capsys.readouterr().err
