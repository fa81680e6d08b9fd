"""Runs on several cards: every row of every set is read, what is left out says why, and what is compared is right."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest

from inspector.validation.forms import SEVERAL_CARDS
from inspector.validation.forms.several_cards import NOT_OURS
from inspector.validation.ledger import compare, validate
from inspector.validation.own_model_runs import example_config
from inspector.validation.runs import questions

OWN = ("dsex-bf16master-254M-4gpu-baseline-allocated", "dsex-bf16master-254M-4gpu-bf16-peak")
"""ZeRO-3 of an example's own model on four cards, with master weights in float32 and in bfloat16."""
SAMPLE = ("fms-a100-058",)
"""QLoRA of Mistral 7B by FSDP1 on two cards: sharded 4-bit weights, adapters as units, mixed precision, a checkpoint
around each unit. The rest by ``inspector validate multigpu_fms``."""


@pytest.mark.parametrize("name", SEVERAL_CARDS)
def test_every_row_is_compared_or_says_why_not(name):
    runs = questions(name)
    assert runs
    assert [run.id for run in runs if run.wrong] == []
    for run in runs:
        assert run.skipped or (run.figures and {"method", "own_model"} & set(run.settings))
        assert "\n" not in run.skipped


def test_what_never_counts():
    runs = {run.id: run for run in questions("multigpu_fms")}
    rows = {row["id"]: row for row in json.loads(_text("multigpu_fms"))}
    compared = [rows[name] for name, run in runs.items() if not run.skipped]
    assert len(compared) >= 8
    for row in compared:
        assert row["use"] == "value"
        assert not any(word in row["framework_config"] for word in ("foak", "liger", "scattermoe", "gptq"))
        assert row["seq_len"]
    fused = [run.skipped for name, run in runs.items() if rows[name]["use"] == "value" and "foak" in run.skipped]
    assert set(fused) == {"fused kernels (foak): what they allocate is not simulated"}
    assert {run.skipped for run in questions("multigpu_megatron")} == {NOT_OURS}


def test_of_torchtitan_what_is_not_compiled():
    runs = {run.id: run for run in questions("multigpu_torchtitan")}
    (compared,) = (run for run in runs.values() if not run.skipped)
    assert compared.settings["parallel_option"] == {
        "param_dtype": "bfloat16", "reduce_dtype": "float32", "as_torchtitan": True,
    }  # fmt: skip
    assert (compared.settings["dtype"], compared.gpu) == ("float32", "H200")
    assert sum(run.skipped == "compile is not simulated" for run in runs.values()) == 4


def test_only_one_card_is_validated_unasked():
    assert not any(run.file.startswith("multigpu_") for run in questions())


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLE)
def test_fsdp1_on_two_cards(name):
    run = next(run for run in questions("multigpu_fms") if run.id == name)
    errors = {line.figure: line.error for line in compare(run)}
    assert abs(errors["rank_peak"]) <= 0.001
    assert abs(errors["rank_after"]) <= 0.001


def test_a_model_of_an_example_is_built_from_its_sizes():
    runs = [run for run in questions("multigpu_deepspeed") if "own_model" in run.settings]
    assert len(runs) == 8
    assert not any(run.skipped for run in runs)
    rows = {row["id"]: row for row in json.loads(_text("multigpu_deepspeed"))}
    for run in runs:
        (figure,) = run.figures
        assert figure.measured == pytest.approx(rows[run.id]["value_bytes"], abs=1)
        assert figure.of == ("rank_run_peak" if run.id.endswith("peak") else "rank_after")
    config = json.loads(example_config(3, {"stage": 3, "bf16_optimizer_states": True}, "AdamW"))
    assert config["bf16"] == {"enabled": True, "bf16_optimizer_states": True}
    assert config["torch_autocast"]["enabled"]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs DeepSpeed")
@pytest.mark.parametrize("name", OWN)
def test_zero_3_is_the_published_figure_at_its_digits(name):
    rows = {row["id"]: row for row in json.loads(_text("multigpu_deepspeed"))}
    run = next(run for run in questions("multigpu_deepspeed") if run.id == name)
    (line,) = compare(run)
    assert round(line.predicted / 2**30, 2) == rows[name]["value"]


def test_a_file_of_ones_own(tmp_path):
    row = {
        "id": "mine", "model": "HuggingFaceTB/SmolLM2-135M", "method": "full", "lora": None, "quantization": "none",
        "parallel": {"kind": "ddp", "world_size": 2, "nodes": 1, "mixed_precision": "no", "colour": "red"},
        "per_device_batch": 1, "gradient_accumulation": 1, "seq_len": 64, "attention": "sdpa",
        "gradient_checkpointing": True, "optimizer": "adamw_torch", "dtype": "bfloat16", "card": "T4", "versions": {},
        "measured": "max_memory_allocated", "value": 1.5, "unit": "GB", "value_bytes": 1500000000, "trust": "A",
    }  # fmt: skip
    (tmp_path / "mine.json").write_text(json.dumps([row, {**row, "id": "other", "use": "fit_only"}]))
    ledger = validate(str(tmp_path / "mine.json"))
    (line,) = ledger.lines
    assert line.figure == "rank_peak"
    assert line.predicted > 1.5e9 / 2
    assert line.question.not_understood == (("parallel.colour", '"red"'),)
    assert [run.id for run in ledger.skipped] == ["other"]


def _text(name):
    from importlib.resources import files

    return (files("inspector") / "data" / "truth" / f"{name}.json").read_text(encoding="utf-8")
