"""What is offloaded is in the machine's memory and not on the card, where it is gathered from when it is used."""

from __future__ import annotations

import pytest

from inspector.errors import InspectorError
from inspector.memory_kinds import MemoryKind
from inspector.simulate.device.kernels import cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.parallel.host_memory import HostMemory, power_of_two
from inspector.simulate.parallel.rank_tracer import RankTracer
from inspector.simulate.parallel.ranks import alike
from inspector.simulate.setup.parallel import changed, read
from tests.simulate.parallel.test_ranks import WEIGHTS, alive_at_end, ranked


@pytest.mark.parametrize("words", ["fsdp1", "fsdp2"])
def test_weights_gradients_and_state_leave_the_card(words):
    stays, kept = ranked(words)
    goes, line = ranked(words, parallel={"offload": "params"})
    for kind in (MemoryKind.BASE_WEIGHTS, MemoryKind.OPTIMIZER_STATE, MemoryKind.GRADIENTS):
        assert alive_at_end(stays, kind) >= WEIGHTS / 4
        assert alive_at_end(goes, kind) == 0
    saved = kept.stages[-1].end_allocated - line.stages[-1].end_allocated
    assert saved == pytest.approx(4 * WEIGHTS / 4, rel=0.05)
    # Weights, gradients and two states of Adam's, of which some is pinned and rounded up.
    assert goes.host_bytes > WEIGHTS
    # Whole units are gathered on the card as before.
    assert goes.collectives == stays.collectives
    assert line.peak_allocated - line.stages[-1].end_allocated > WEIGHTS / 4


def test_pinned_memory_is_in_powers_of_two_and_kept():
    import torch

    host = HostMemory()
    first = torch.empty(1000, device="meta")
    host.made(first, pinned=True)
    assert host.holds(first.view(10, 100))
    assert (host.pinned_bytes, host.most) == (4096, 4096)
    del first
    again, other = torch.empty(600, device="meta"), torch.empty(10, device="meta")
    host.made(again, pinned=True)
    host.made(other)
    assert host.pinned_bytes == 4096
    assert host.most == 4096 + 40
    assert [power_of_two(each) for each in (1, 2, 3, 4096, 4097)] == [1, 2, 4, 4096, 8192]


def test_a_copy_of_what_is_on_the_host_is_there_too_when_its_shape_is_remembered():
    import torch

    tracer = RankTracer(cuda_kernels(Device((8, 0), 108)), cards=2)
    tracer.two_devices = True
    # Entered twice, as where a rank is traced after another: the second hears what the first makes.
    with tracer, tracer:
        with tracer.placed("host"):
            weight = torch.empty(1000, 1000, device="meta")
        copies = [weight.clone() for _ in range(3)]
        assert all(tracer.is_on_host(copy) for copy in copies)


def test_what_no_wrapper_offloads_is_refused():
    with pytest.raises(InspectorError, match="weights and optimizer state together"):
        changed(read("fsdp2", 2), offload="optimizer")
    with pytest.raises(InspectorError, match="optimizer's state alone"):
        changed(read("zero2", 2), offload="params")
    assert [group.first for group in alike(read("zero2", 8), ())] == [0]
    assert [(group.first, group.count) for group in alike(read("zero3", 8), ())] == [(0, 1), (1, 7)]


def test_an_examples_model_has_as_many_parameters_as_was_published():
    import torch

    from inspector.simulate.program.encoder_stack import EncoderStack
    from inspector.simulate.setup.engine_words import EncoderSizes
    from inspector.validation.runs import questions

    run = next(run for run in questions("multigpu_deepspeed") if "own_model" in run.settings)
    with torch.device("meta"):
        model = EncoderStack(EncoderSizes(**run.settings["own_model"]))
    # ``parameters`` of the published row.
    assert sum(each.numel() for each in model.parameters()) == 254_128_976
