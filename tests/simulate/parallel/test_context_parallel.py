"""Sequences in parts: PyTorch's own ring under accelerate's FSDP2, and what the libraries refuse."""

from __future__ import annotations

import inspect

import pytest
import torch

from inspector.errors import CannotSimulateError, InspectorError
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.finetuning import question
from inspector.simulate.parallel.ranks import alike, trace_rank, trace_ranks
from inspector.simulate.setup.parallel import changed, read
from inspector.simulate.several_cards import finetune_on_cards
from tests.simulate.parallel.test_ranks import TINY


def asked(config=TINY, **settings):
    return question(config, **{"method": "full", "gpu": "A100-80GB", "seq_len": 512, **settings})


def ranked(words, gpus=4, *, rank=0, **settings):
    its = asked(**settings)
    setup = changed(read(words, gpus), wrap="trainer")  # as context parallelism has it
    traced = trace_rank(its.config, its.resolved.setup, setup, rank, (8, 0), 108)
    return traced, replay(traced.events, its.allocator)


def peak(line):
    return max(stage.peak_allocated for stage in line.stages if stage.stage in {"forward", "backward"})


@pytest.fixture(scope="module")
def parts():
    return {cp: ranked(f"cp:{cp}" if cp > 1 else "fsdp2", gradient_checkpointing=False) for cp in (1, 2, 4)}


def test_what_a_token_takes_is_divided_and_weights_are_cut_over_all(parts):
    whole, half, quarter = (peak(parts[cp][1]) for cp in (1, 2, 4))
    # Workspaces and weights are the same; of the rest each has half as much as before.
    assert half - quarter == pytest.approx((whole - half) / 2, rel=0.3)
    assert whole - half > 500 * 64 * 2
    assert [unit.rank_bytes for unit in parts[1][0].units] == [unit.rank_bytes for unit in parts[4][0].units]


def test_what_goes_round_is_keys_and_values(parts):
    plain = {(each.kind, each.group_size): each for each in parts[1][0].collectives}
    ring = {(each.kind, each.group_size): each for each in parts[2][0].collectives}
    assert plain["all-gather", 4] == ring["all-gather", 4]
    # Two layers, forward and backward: keys and values of two heads of 16 in bfloat16, of all 512 tokens.
    each = 2 * 2 * 16 * 512 * 2
    assert ring["all-gather", 2].nbytes == 2 * 2 * each
    assert ("all-gather", 2) not in plain


def test_attention_is_pytorch_s_again_afterwards(parts):
    assert parts
    assert torch.nn.functional.scaled_dot_product_attention is torch._C._nn.scaled_dot_product_attention
    from torch.distributed.tensor import DTensor

    assert torch.ops.aten._scaled_dot_product_flash_attention.default not in DTensor._op_dispatcher._custom_op_handlers


def test_ranks_of_a_ring_are_the_first_the_last_and_those_between(parts):
    lines = [parts[4][1], *(ranked("cp:4", rank=rank, gradient_checkpointing=False)[1] for rank in (1, 2, 3))]
    stages = [[(stage.peak_allocated, stage.end_allocated) for stage in line.stages] for line in lines]
    assert stages[1] == stages[2]
    assert stages[3] != stages[0]
    found = alike(changed(read("cp:4", 8)), parts[4][0].cuts)
    assert [group.ranks for group in found] == [(0, 4), (1, 2, 5, 6), (3, 7)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"attention": "eager"}, "supported only with SDPA attention, you are using eager"),
        ({"seq_len": 500}, "sequences of 500 tokens are not in 8 parts of one length"),
        ({"dtype": "float32"}, "got mixed torch.Tensor and DTensor"),
    ],
)
def test_what_accelerate_pytorch_and_the_trainer_refuse(settings, said):
    with pytest.raises(CannotSimulateError, match=said):
        ranked("cp:4", **settings)


SLIDING = {**TINY, "model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 64}


def test_a_window_is_refused_or_said_to_be_dropped(monkeypatch):
    import accelerate.big_modeling as accelerates

    attach = accelerates._attach_context_parallel_hooks

    def without_asking(model):
        """As accelerate 1.14: the masks are dropped of any layers."""
        model.config.sliding_window, window = None, model.config.sliding_window
        attach(model)
        model.config.sliding_window = window

    if "does not support attention layers" in inspect.getsource(attach):
        with pytest.raises(CannotSimulateError, match="does not support attention layers of type"):
            ranked("cp:4", config=SLIDING)
        monkeypatch.setattr(accelerates, "_attach_context_parallel_hooks", without_asking)
    trace, _ = ranked("cp:4", config=SLIDING)
    assert any("the mask of sliding_attention layers is dropped" in said for said in trace.notes)


def test_words():
    assert read("cp", 8) == read("cp:8", 8) == read("cp:8+fsdp2", 8)
    assert (read("cp:2", 8).words, read("cp:2", 8).wrap) == ("cp:2+fsdp2", "trainer")
    with pytest.raises(InspectorError, match="8 cards do not divide by cp:3"):
        read("cp:3", 8)


def test_a_report_is_of_a_process_of_its_own(monkeypatch):
    asked_apart = []

    def here(question, ranks):
        asked_apart.append(ranks)
        return trace_ranks(*question, ranks)

    monkeypatch.setattr("inspector.simulate.parallel.apart.traced_apart", here)
    report = finetune_on_cards(asked(), read("cp:2", 4), rank="first")
    assert report.ranks[0].members == (0, 2)
    assert report.layers_are_units
    assert asked_apart == [[0]]
