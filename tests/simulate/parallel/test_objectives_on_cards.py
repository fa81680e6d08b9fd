"""Preferences over several cards: a rank's step is that of one card, within the wrapper."""

from __future__ import annotations

import json
import math

import pytest

from inspector.errors import CannotSimulateError
from inspector.fit.ways import finetune_anywhere
from inspector.simulate.finetuning import finetune
from tests.simulate.parallel.test_ranks import TINY, WEIGHTS

ASKED = {"gpu": "A100-80GB", "seq_len": 64, "batch_size": 2}


def peaks(report):
    stages = report.ranks[0].stages if hasattr(report, "ranks") else report.stages
    return {stage.stage: (stage.peak_allocated, stage.end_allocated) for stage in stages}


OWN = {"prompt_len": 56, "num_generations": 2}


@pytest.mark.parametrize(
    ("objective", "method", "more"),
    [("dpo", "full", {}), ("kto", "lora", {}), ("orpo", "full", {}), ("grpo", "full", OWN)],
)
def test_ddp_takes_its_buckets_more_than_one_card(objective, method, more):
    asked = {"objective": objective, "method": method, **more, **ASKED}
    one = peaks(finetune(dict(TINY), **asked))
    report = finetune_anywhere(dict(TINY), gpus=2, parallel="ddp", **asked)
    several = peaks(report)
    buckets = next(each.collective.nbytes for each in report.sent if each.collective.kind == "all-reduce")
    assert objective in report.inputs
    if method == "full":
        assert buckets == WEIGHTS
    assert several["optimizer"][1] - one["optimizer"][1] == math.ceil(buckets / 512) * 512


def test_the_reference_is_the_model_without_its_adapters_in_its_units():
    report = finetune_anywhere(dict(TINY), gpus=2, parallel="fsdp2", objective="dpo", method="lora", **ASKED)
    sent = {each.collective.kind: each.collective for each in report.sent}
    alone = finetune_anywhere(dict(TINY), gpus=2, parallel="fsdp2", method="lora", gradient_checkpointing=True, **ASKED)
    plain = {each.collective.kind: each.collective for each in alone.sent}
    # One forward more: every unit is gathered once more.
    units = sum(unit.whole_bytes for unit in report.ranks[0].units)
    assert sent["all-gather"].nbytes - plain["all-gather"].nbytes == pytest.approx(units, rel=0.2)
    assert sent["reduce-scatter"] == plain["reduce-scatter"]


def test_a_teacher_is_whole_on_every_card(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(TINY))
    asked = {"objective": "distill", "teacher": str(tmp_path), "method": "lora", "prompt_len": 56, **ASKED}
    one, report = finetune(dict(TINY), **asked), finetune_anywhere(dict(TINY), gpus=2, parallel="ddp", **asked)
    buckets = next(each.collective.nbytes for each in report.sent if each.collective.kind == "all-reduce")
    assert peaks(report)["optimizer"][1] - peaks(one)["optimizer"][1] == buckets


def test_a_reference_of_its_own_is_one_unit_on_fsdp2():
    report = finetune_anywhere(dict(TINY), gpus=2, parallel="fsdp2", objective="dpo", method="full", **ASKED)
    kept = {share.name: share.nbytes for share in report.ranks[0].alive_at_peak}
    # While it answers all of it is gathered; before and after a rank has its half.
    assert WEIGHTS / 2 <= kept["reference model"] < WEIGHTS / 2 * 1.05
    sent = {each.collective.kind: each.collective for each in report.sent}
    alone = finetune_anywhere(dict(TINY), gpus=2, parallel="fsdp2", method="full", gradient_checkpointing=True, **ASKED)
    plain = {each.collective.kind: each.collective for each in alone.sent}
    assert sent["all-gather"].nbytes - plain["all-gather"].nbytes == WEIGHTS
    assert sent["reduce-scatter"] == plain["reduce-scatter"]


@pytest.mark.parametrize(
    ("parallel", "settings", "said"),
    [
        ("zero2", {"objective": "dpo", "method": "lora"}, "dpo over zero2 is not simulated"),
        ("fsdp2", {"objective": "grpo", "method": "lora", **OWN}, "grpo over fsdp2"),
    ],
)  # fmt: skip
def test_what_is_left_to_one_card(parallel, settings, said):
    with pytest.raises(CannotSimulateError, match=said):
        finetune_anywhere(dict(TINY), gpus=2, parallel=parallel, **settings, **ASKED)
