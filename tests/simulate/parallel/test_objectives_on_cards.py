"""Preferences over several cards: a rank's step is that of one card, within the wrapper."""

from __future__ import annotations

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


@pytest.mark.parametrize(("objective", "method"), [("dpo", "full"), ("dpo", "lora"), ("kto", "lora"), ("orpo", "full")])
def test_ddp_takes_its_buckets_more_than_one_card(objective, method):
    one = peaks(finetune(dict(TINY), objective=objective, method=method, **ASKED))
    report = finetune_anywhere(dict(TINY), gpus=2, parallel="ddp", objective=objective, method=method, **ASKED)
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


@pytest.mark.parametrize(
    ("parallel", "settings", "said"),
    [
        ("fsdp2", {"objective": "dpo", "method": "full"}, "a second model beside fsdp2 is not simulated"),
        ("zero2", {"objective": "dpo", "method": "lora"}, "dpo over zero2 is not simulated"),
        ("ddp", {"objective": "grpo", "method": "lora", "prompt_len": 32, "num_generations": 2}, "grpo over ddp"),
    ],
)  # fmt: skip
def test_what_is_left_to_one_card(parallel, settings, said):
    with pytest.raises(CannotSimulateError, match=said):
        finetune_anywhere(dict(TINY), gpus=2, parallel=parallel, **settings, **ASKED)
