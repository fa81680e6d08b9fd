"""Models of other kinds through the ways of sharing: a sample of ``make ways``, on small configs."""

from __future__ import annotations

import pytest

from inspector.errors import CannotSimulateError
from inspector.fit.ways import finetune_anywhere
from tests.simulate.families import small_config

KINDS = ("gpt2", "qwen3_moe", "lfm2")
"""Weights that lie the other way and a tied head; experts in one tensor; convolutions beside attention."""


def _small(model_type):
    config = small_config(model_type)
    for name, size in (("vocab_size", 512), ("hidden_size", 256), ("n_embd", 192)):
        if name in config.to_dict():
            setattr(config, name, size)
    return config.to_dict()


@pytest.mark.parametrize("model_type", KINDS)
def test_a_kind_of_model_is_cut_and_copied(model_type):
    said = {"gpu": "H100", "gpus": 4, "seq_len": 32}
    config = _small(model_type)
    cut = finetune_anywhere(config, parallel="fsdp2", method="full", **said)
    kept = sum(rank.alike * rank.sharded_bytes for rank in cut.ranks)
    whole = cut.ranks[0].whole_bytes
    assert sum(rank.alike for rank in cut.ranks) == 4
    # What does not divide is padded, by a row a rank at the most.
    assert whole <= kept <= 1.1 * whole
    assert cut.layers_are_units
    copied = finetune_anywhere(config, parallel="ddp", method="full", **said)
    assert copied.ranks[0].replicated_bytes >= whole
    assert copied.heaviest.peaks.allocated > cut.heaviest.peaks.allocated


def test_a_part_that_took_no_step_is_ddp_s_own_refusal_in_a_line():
    """A model of images and text that is trained on text alone."""
    said = {"gpu": "H100", "gpus": 2, "seq_len": 32, "parallel": "ddp", "method": "full"}
    config = _small("gemma3")
    with pytest.raises(CannotSimulateError, match="ddp refuses: Expected to have finished reduction") as refused:
        finetune_anywhere(config, **said)
    option = refused.value.hint.partition(",")[0].removeprefix("--parallel-option ")
    assert finetune_anywhere(config, **said, parallel_option=[option]).ranks[0].alike == 2
