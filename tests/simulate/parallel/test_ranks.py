"""A rank's trace: the wrappers of PyTorch around the program of one card."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.util import find_spec

import pytest

from inspector.errors import CannotSimulateError, InspectorError
from inspector.memory_kinds import MemoryKind
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.events import Alloc, Free
from inspector.simulate.finetuning import question, trace
from inspector.simulate.parallel.ranks import alike, trace_rank, trace_ranks
from inspector.simulate.setup.parallel import read

TINY = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 192,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1000,
    "dtype": "bfloat16",
}  # fmt: skip
WEIGHTS = 2 * (2 * 1000 * 64 + 64 + 2 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 192 + 2 * 64))
LAYERS = ("model.layers.0", "model.layers.1")


def asked(**words):
    return question(TINY, **{"method": "full", "gpu": "A100-80GB", "seq_len": 32, **words})


def ranked(words, gpus=4, *, rank=0, parallel=None, **settings):
    """A rank's trace, with its replay."""
    its = asked(**settings)
    setup = replace(read(words, gpus), **(parallel or {}))
    traced = trace_rank(its.config, its.resolved.setup, setup, rank, its.gpu.capability, its.gpu.multiprocessors)
    return traced, replay(traced.events, its.allocator)


def alive_at_end(traced, kind):
    living = {}
    for event in traced.events:
        if isinstance(event, Alloc):
            living[event.block] = event
        elif isinstance(event, Free):
            del living[event.block]
    return sum(event.nbytes for event in living.values() if event.kind is kind)


@pytest.mark.parametrize("optimizer", ["adamw_torch", "sgd"])
def test_what_ddp_takes_more_than_one_card_are_its_buckets(optimizer):
    its = asked(optimizer=optimizer)
    one = replay(trace(its.config, its.resolved.setup, its.gpu).events, its.allocator)
    traced, line = ranked("ddp", optimizer=optimizer)
    assert alive_at_end(traced, MemoryKind.COMMUNICATION) == WEIGHTS
    # One bucket for the few weights here, in a block of its own.
    assert line.stages[-1].end_allocated - one.stages[-1].end_allocated == math.ceil(WEIGHTS / 512) * 512
    assert next((each.kind, each.nbytes) for each in traced.collectives) == ("all-reduce", WEIGHTS)


def test_gradients_that_are_views_of_their_bucket_are_not_there_twice():
    apart, views = (
        ranked("ddp", seq_len=2, zero_grad="after", parallel={"gradient_as_bucket_view": each})[1]
        for each in (False, True)
    )
    step = [line.stages[-1].peak_allocated for line in (apart, views)]
    # The gradients themselves, each in a block of its own.
    assert step[0] - step[1] >= WEIGHTS


@pytest.mark.parametrize("words", ["fsdp1", "fsdp2"])
def test_what_is_loaded_on_the_cpu_comes_to_the_card_unit_by_unit(words):
    traced, line = ranked(words)
    assert traced.host_bytes >= WEIGHTS
    largest, peak = max(unit.whole_bytes for unit in traced.units), line.stages[0].peak_allocated
    if words == "fsdp1":
        # While a unit is made flat its weights are there as they came, too: the list of them outlives the cutting.
        assert 2 * largest < peak < 2 * largest + WEIGHTS / 4 + 22 * 512
    else:
        assert peak < WEIGHTS
    at_once, whole = ranked(words, via_cpu=False)
    assert at_once.host_bytes == 0
    assert whole.stages[0].peak_allocated > WEIGHTS
    assert whole.stages[-1].end_allocated == line.stages[-1].end_allocated


@pytest.mark.parametrize("words", ["fsdp1", "fsdp2", "hsdp:2x4"])
def test_a_rank_keeps_its_part_and_gathers_layer_by_layer(words):
    traced, _ = ranked(words, 8 if ":" in words else 4)
    # Two scales of 64 do not stay whole, whatever the wrapper pads.
    kept = alive_at_end(traced, MemoryKind.BASE_WEIGHTS)
    assert WEIGHTS / 4 <= kept < WEIGHTS / 4 * 1.05
    assert tuple(unit.name for unit in traced.units) == ("", *LAYERS)
    assert sum(unit.whole_bytes for unit in traced.units) == WEIGHTS
    assert sum(unit.rank_bytes for unit in traced.units) == kept
    assert alive_at_end(traced, MemoryKind.OPTIMIZER_STATE) == 2 * sum(unit.rank_bytes for unit in traced.units)
    sent = {each.kind for each in traced.collectives}
    assert {"all-gather", "reduce-scatter"} <= sent
    assert ("all-reduce" in sent) is (":" in words)


def test_only_what_is_chosen_is_a_unit():
    assert [unit.name for unit in ranked("fsdp2", parallel={"wrap": "none"})[0].units] == [""]
    by_trainer = ranked("fsdp2", parallel={"wrap": "trainer"}, method="lora", r=4)[0]
    ends = {unit.name.removeprefix("base_model.model.") for unit in by_trainer.units}
    assert ends >= {"model.embed_tokens", *LAYERS}


def test_adapters_are_trained_and_the_rest_is_gathered_alone():
    traced, _ = ranked("fsdp2", method="lora", r=4)
    layer = next(unit for unit in traced.units if unit.name.endswith("layers.0"))
    assert 0 < layer.trainable_bytes < layer.whole_bytes / 4
    flat, _ = ranked("fsdp1", method="lora", r=4)
    assert {unit.trainable_bytes in {0, unit.whole_bytes} for unit in flat.units} == {True}


def test_four_bit_weights_are_cut_where_they_are_stored_as_they_are_computed():
    words = {"method": "qlora", "r": 4, "prepare_kbit": False}
    whole, _ = ranked("fsdp1", 2, parallel={"quant_storage": "bfloat16"}, **words)
    layer = next(unit for unit in whole.units if unit.name.endswith("layers.0"))
    assert layer.rank_bytes * 2 == layer.whole_bytes


@pytest.mark.parametrize("words", ["fsdp1", "fsdp2"])
def test_accumulated_gradients_are_whole_until_they_are_reduced(words):
    """Trainer enters accelerate's ``no_sync``: between micro-batches every rank has gradients of all the weights."""
    _, once = ranked(words, 8)
    _, often = ranked(words, 8, grad_accum=2)
    assert often.peak_allocated - once.peak_allocated > WEIGHTS / 2


def test_uneven_weights_are_on_the_first_ranks():
    """1,000 rows over three cards: 334, 334 and 332."""
    first = ranked("fsdp2", 3)[0]
    assert [(group.first, group.ranks) for group in alike(read("fsdp2", 3), first.cuts)] == [(0, (0, 1)), (2, (2,))]
    last = ranked("fsdp2", 3, rank=2)[0]
    assert sum(unit.rank_bytes for unit in first.units) >= sum(unit.rank_bytes for unit in last.units)
    assert first.units[0].whole_bytes == last.units[0].whole_bytes


@pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs DeepSpeed")
@pytest.mark.parametrize(("words", "cut"), [("zero1", 1), ("zero2", 1), ("zero3", 4)])
def test_zero_cuts_state_and_then_weights(words, cut, capfd):
    traced, _ = ranked(words, steps=3)
    assert capfd.readouterr().out == ""
    kept = alive_at_end(traced, MemoryKind.BASE_WEIGHTS)
    assert WEIGHTS / cut <= kept < WEIGHTS / cut * 1.05 + 1024
    # A copy in float32 and two states, of a fourth of the weights.
    state = alive_at_end(traced, MemoryKind.OPTIMIZER_STATE)
    assert 6 * WEIGHTS / 4 <= state < 6 * WEIGHTS / 4 * 1.05


@pytest.mark.skipif(find_spec("deepspeed") is not None, reason="needs an environment without DeepSpeed")
def test_deepspeed_that_is_not_there_is_one_line():
    with pytest.raises(InspectorError, match="deepspeed does not import"):
        ranked("zero3")


def test_a_way_that_is_not_built_is_one_line():
    with pytest.raises(InspectorError, match="device_map is not simulated yet"):
        ranked("device_map", 2)


@pytest.mark.parametrize("words", ["fsdp2", "tp:2+fsdp2"])
def test_rules_of_a_list_asked_once_change_nothing(words, monkeypatch):
    once, _ = ranked(words)
    monkeypatch.setattr("inspector.simulate.parallel.world.list_rules", dict)
    assert ranked(words)[0].events == once.events


def test_paged_state_is_in_managed_memory_under_fsdp1_and_refused_under_fsdp2():
    paged = {"optimizer": "paged_adamw_32bit"}
    traced, _ = ranked("fsdp1", 2, parallel={"wrap": "none"}, **paged)
    # Two moments in float32 of each of this rank's numbers: bitsandbytes pages what has 100,000 of them.
    assert traced.paged_bytes == sum(unit.rank_bytes for unit in traced.units) // 2 * 2 * 4 > 800_000
    its = asked(**paged)
    with pytest.raises(CannotSimulateError, match="fsdp2 refuses paged_adamw_32bit: Operator bitsandbytes"):
        trace_ranks(its.config, its.resolved.setup, read("fsdp2", 2), (8, 0), 108, [0])
