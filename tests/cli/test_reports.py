"""Every answer is a report: Python, ``--json`` and ``--csv`` say the same, and a notebook shows it."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import io
import json
import pkgutil
from pathlib import Path

import pytest

import inspector
import inspector.lab
from inspector import reporting
from inspector.cli.main import run

RUN = {
    "model": "tiny", "quantization": "FP16", "input_tokens": 32, "generated_tokens": 16, "batch": 1, "peak": 0.0346,
    "unit": "GiB", "metric": "torch.cuda.max_memory_allocated, includes load", "num_gpus": 1, "attn": "sdpa",
    "kv_dtype": "fp16 dynamic cache", "gpu": "A100-80GB", "id": "mine",
    "versions": {"torch": "2.13.0", "transformers": "5.23.0"},
}  # fmt: skip
TIMED = {"seconds"}
"""What no two runs share."""


def _finetune():
    return inspector.load("tiny").finetune(seq_len=64, gpu="T4")


def _plan(config, card, **settings):
    from inspector.fit.plan import plan
    from inspector.simulate.setup.finetuning import resolve_setup
    from inspector.sources.resolve import resolve_config

    return plan(config, resolve_config(config), resolve_setup(**settings).settings, card)


def _fit_plan():
    from inspector.gpus import card_of_size

    return _plan("tiny", card_of_size("518MiB"), method="full", batch_size=8, seq_len=256)


def _fit():
    from inspector.fit.table import fit_table
    from inspector.sources.resolve import resolve_config

    return fit_table("tiny", resolve_config("tiny"), "float16", gpus=("T4", "RTX 3060"), seq_len=64)


def _compare():
    from inspector.lenses.compare import SCHEMES, compare
    from inspector.sources.resolve import resolve

    return compare([resolve("llama-3.2-1b"), resolve("qwen2.5-0.5b")], rank=32, schemes=SCHEMES)


def _diff():
    from inspector.lenses.diff import diff, skeleton_side
    from inspector.sources.resolve import resolve

    return diff(skeleton_side(resolve("llama-3.2-1b")), skeleton_side(resolve("tiny")))


def _table():
    from inspector.lenses.table import table

    return table(["HuggingFaceTB/SmolLM2-135M"], ["bf16", "nf4-dq"])


def _checkpoint():
    from inspector.checkpoint.against_skeleton import compare_with_skeleton
    from inspector.sources.resolve import locate

    source = locate("model")
    return compare_with_skeleton(source.checkpoint, source.skeleton)


def _adapter():
    from inspector.lenses.saved_adapter import read_adapter

    return read_adapter("adapter")


def _replay():
    from inspector.simulate.snapshot.allocator_check import replay_recording
    from inspector.simulate.snapshot.recording import read_recording

    return replay_recording(read_recording(Path("snapshot.pickle")))


def _records():
    from inspector.measure.records import find_records

    return find_records([Path("records")])


def _validate():
    from inspector.validation.ledger import validate

    return validate("runs.json", form="inference_peaks")


def _serving_ledger():
    from inspector.validation.serving_ledger import validate_serving

    return validate_serving("serving_sglang")


def _startup():
    from inspector.explain.startup import explain_startup

    return explain_startup(Path("startup.log").read_text(encoding="utf-8"), source="startup.log")


def _doctor():
    from inspector.measure.doctor import doctor

    return doctor()


def _doctor_report():
    from inspector.measure.doctor_report import doctor_report

    return doctor_report()


def _script_check():
    from inspector.simulate.script.check import check_script

    return check_script("parallel.py")


def _kv_cache():
    return inspector.load("tiny").generate(gpu="T4", prompt_len=64, max_new_tokens=4).cache


REPORTS = {
    "layers": (lambda: inspector.load("tiny").layers(), ["layers", "tiny"]),
    "memory": (lambda: inspector.load("tiny").memory(), ["memory", "tiny"]),
    "lora": (lambda: inspector.load("tiny").lora(), ["lora", "tiny"]),
    "compare": (_compare, ["compare", "llama-3.2-1b", "qwen2.5-0.5b"]),
    "diff": (_diff, ["diff", "llama-3.2-1b", "tiny"]),
    "table": (_table, ["table", "smollm2-135m", "--scheme", "bf16", "--scheme", "nf4-dq"]),
    "checkpoint": (_checkpoint, ["checkpoint", "model"]),
    "adapter": (_adapter, ["adapter", "adapter"]),
    "simulate": (_finetune, ["simulate", "finetune", "tiny", "--seq-len", "64", "--gpu", "T4"]),
    "generate": (
        lambda: inspector.load("tiny").generate(gpu="T4", prompt_len=64, max_new_tokens=4),
        ["simulate", "generate", "tiny", "--prompt-len", "64", "--max-new-tokens", "4", "--gpu", "T4"],
    ),
    "fit_ways": (
        lambda: inspector.load("tiny").fit(method="full", seq_len=64, gpus=2, gpu="T4"),
        ["fit", "tiny", "--method", "full", "--seq-len", "64", "--gpus", "2", "--gpu", "T4"],
    ),
    "several_cards": (
        lambda: inspector.load("tiny").finetune(method="full", seq_len=64, gpus=2, parallel="ddp", gpu="T4"),
        [
            "simulate",
            "finetune",
            "tiny",
            "--method",
            "full",
            "--seq-len",
            "64",
            "--gpus",
            "2",
            "--parallel",
            "ddp",
            "--gpu",
            "T4",
        ],
    ),
    "long_run": (
        lambda: inspector.load("tiny").finetune(lengths="lognormal:24,0.3,40", batch_size=2, steps=12, gpu="T4"),
        [
            "simulate",
            "finetune",
            "tiny",
            "--lengths",
            "lognormal:24,0.3,40",
            "--batch-size",
            "2",
            "--steps",
            "12",
            "--gpu",
            "T4",
        ],
    ),
    "split": (
        lambda: inspector.load("tiny").generate(gpu="T4", gpus=2, prompt_len=64, max_new_tokens=4),
        ["simulate", "generate", "tiny", "--gpus", "2", "--prompt-len", "64", "--max-new-tokens", "4", "--gpu", "T4"],
    ),
    "at_least": (
        lambda: inspector.load("tiny").fit(gpu=["MI300X", "TPU v5e"]),
        ["fit", "tiny", "--gpu", "MI300X", "--gpu", "TPU v5e"],
    ),
    "fit": (_fit, ["fit", "tiny", "--gpu", "T4", "--gpu", "RTX 3060", "--seq-len", "64"]),
    "fit_plan": (
        _fit_plan,
        ["fit", "tiny", "--method", "full", "--batch-size", "8", "--seq-len", "256", "--vram", "518MiB"],
    ),
    "validate": (_validate, ["validate", "runs.json", "--form", "inference_peaks"]),
    "explain": (
        lambda: inspector.explain_error(
            Path("oom.txt").read_bytes(),
            "tiny",
            source="oom.txt",
            method="full",
            batch_size=8,
            seq_len=256,
            vram="518MiB",
        ),
        ["explain", "oom.txt", "tiny", "--method", "full", "--batch-size", "8", "--seq-len", "256", "--vram", "518MiB"],
    ),
    "serving": (
        lambda: inspector.serve("llama-3.2-1b", gpu="T4", max_model_len=4096),
        ["serving", "llama-3.2-1b", "--gpu", "T4", "--max-model-len", "4096"],
    ),
    "serving_ledger": (_serving_ledger, ["validate", "serving_sglang"]),
    "fit_serving": (
        lambda: inspector.load("llama-3.2-1b").fit(serving=True, users=4, context=4096, gpu=["T4", "L4"]),
        ["fit", "llama-3.2-1b", "--serving", "--users", "4", "--context", "4096", "--gpu", "T4", "--gpu", "L4"],
    ),
    "startup": (_startup, ["explain", "startup.log"]),
    "config": (lambda: inspector.read_config("axolotl.yml"), ["config", "axolotl.yml"]),
    "replay": (_replay, ["replay", "snapshot.pickle"]),
    "measurements": (_records, ["measurements", "records"]),
    "measure": (lambda: _records().measurements[0], None),  # a command measures anew, which is never the same
    "check": (lambda: inspector.check("runs.toml"), ["check", "--file", "runs.toml"]),
    "diff_runs": (
        lambda: inspector.diff_runs("before.json", "after.json"),
        ["diff-runs", "before.json", "after.json"],
    ),
    "doctor": (_doctor, ["doctor"]),
    "doctor_report": (_doctor_report, ["doctor", "--report"]),
    "script": (lambda: inspector.run("train.py", gpu="T4"), ["run", "--json", "--gpu", "T4", "train.py"]),
    "script_check": (_script_check, ["run", "--check", "--json", "parallel.py"]),
    "lab_quantize": (inspector.lab.recorded_precisions, ["lab", "quantize", "--recorded"]),
    "lab_lora": (inspector.lab.recorded_finetuning, ["lab", "lora", "--recorded"]),
    "kv_cache": (_kv_cache, None),  # part of what `inspector simulate generate` prints
}
"""Of every kind of report, one made in Python and the command line that prints the same."""


def kinds(cls=reporting.Report):
    """Every class of reports that is a kind of its own, in whatever module."""
    for found in cls.__subclasses__():
        if "kind" in vars(found):
            yield found
        yield from kinds(found)


def test_every_kind_is_here_and_has_a_renderer():
    for module in pkgutil.walk_packages(inspector.__path__, "inspector."):
        # Those that stand on an optional library have no report.
        if not module.name.endswith(("__main__", ".zero_card")) and ".render.pptx" not in module.name:
            importlib.import_module(module.name)
    found = {cls.kind: cls for cls in kinds()}
    assert found.keys() == REPORTS.keys()
    for kind, cls in found.items():
        render = reporting.renderer(kind)
        assert callable(render.text)
        assert callable(render.payload)
        assert hasattr(render, "rows") == issubclass(cls, reporting.TableReport) == hasattr(cls, "to_frame"), kind
        assert dataclasses.is_dataclass(cls)
        assert cls.__dataclass_params__.frozen


def without_time(found):
    return {key: value for key, value in found.items() if key not in TIMED}


@pytest.mark.parametrize("kind", REPORTS)
def test_python_and_the_command_say_the_same(kind, inputs, capsys):
    make, command = REPORTS[kind]
    if kind == "validate":
        Path("runs.json").write_text(json.dumps([RUN]))
    report = make()
    said = report.to_dict()
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    if command:
        capsys.readouterr()
        # Behind a script, it would be the script's.
        assert run(command if "--json" in command else [*command, "--json"]) in {0, 1}
        printed = json.loads(capsys.readouterr().out)
        assert printed.pop("format") == f"inspector.{kind}"
        assert printed.pop("version") == 1
        assert without_time(printed) == without_time(said)
    shown = report._repr_html_()
    # A block to paste is lines, and no table.
    assert shown.count("<table>") >= int(kind != "doctor_report")
    assert "<pre" not in shown
    assert ("data-chart=" in shown) == hasattr(reporting.renderer(kind), "charts")
    if isinstance(report, reporting.TableReport):
        rows = reporting.table_renderer(kind).rows(report)
        assert list(report.to_frame().columns) == list(dict.fromkeys(key for row in rows for key in row))
        assert {tuple(row) for row in rows} == {tuple(rows[0])}, "equal keys in every row"
        assert len(report.to_frame()) == len(rows)
    if command and "--csv" in options_of(command):
        assert run([*command, "--csv"]) in {0, 1}
        lines = list(csv.reader(io.StringIO(capsys.readouterr().out)))
        assert lines[0] == list(rows[0])
        assert len(lines) == 1 + len(rows)


def options_of(command):
    """The options that the command of a line takes."""
    import click

    from inspector.cli.main import cli

    context, found = click.Context(cli), cli
    for word in command:
        if not isinstance(found, click.Group):
            break
        found = found.get_command(context, word)
    return {option for each in found.params for option in each.opts}


def test_what_is_a_table_has_csv():
    """A command's answer is printed as CSV exactly where Python has a frame of it; doctor's is a list to read."""
    for kind, (_, command) in REPORTS.items():
        if command:
            is_table = hasattr(reporting.renderer(kind), "rows")
            assert ("--csv" in options_of(command)) == (is_table and kind != "doctor"), kind


def test_fit_on_one_card_as_csv_has_the_setup_and_the_changes(inputs, capsys):
    assert run([*REPORTS["fit_plan"][1], "--csv"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert (rows[0]["tried"], rows[0]["verdict"]) == ("as it is", "does not fit")
    assert len(rows) > 1
    assert {row["tried"] for row in rows[1:]} <= {"alone", "together", "all"}
    assert run(["fit", "tiny", "--gpu", "T4", "--seq-len", "64", "--csv"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["verdict"] == "fits"
