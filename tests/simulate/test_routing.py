"""Loops over experts, on tensors without data."""

from __future__ import annotations

import pytest
import torch

from inspector.simulate.device.kernels import cuda_kernels
from inspector.simulate.device.questions import Device
from inspector.simulate.events import Alloc
from inspector.simulate.program import routing
from inspector.simulate.program.decoding import trace_generate
from inspector.simulate.setup.generation import GenerateSettings
from inspector.simulate.tracing.tracer import Tracer
from tests.simulate.families import small_config

EXPERTS, TOKENS, CHOICES = 4, 64, 2


@pytest.mark.parametrize(("case", "share"), [("balanced", TOKENS * CHOICES // EXPERTS), ("worst", TOKENS)])
def test_a_loop_visits_every_expert_once_and_skips_the_padding_expert(case: str, share: int) -> None:
    """The loop that transformers' mixtures share (``integrations/moe.py``), with one class more for padding."""
    tracer = Tracer(cuda_kernels(Device((7, 5), 40)))
    routing.install(tracer, {"ffn_config": {"moe_num_experts": EXPERTS}}, case)
    visited, rows = [], []
    with tracer:
        mask = torch.empty((EXPERTS + 1, CHOICES, TOKENS), dtype=torch.int64, device="meta")
        for row in torch.greater(mask.sum(dim=(-1, -2)), 0).nonzero():
            expert = row[0]
            if expert == EXPERTS:
                continue
            visited.append(int(expert))
            _, tokens = torch.where(mask[expert])
            rows.append(tokens.shape[0])
    assert visited == list(range(EXPERTS))
    assert rows == [share] * EXPERTS
    assert tracer.notes == [f"which of its {EXPERTS} experts a token goes to is data: taken as {case}"]


def test_a_number_nobody_knows_is_answered_as_before() -> None:
    tracer = Tracer(cuda_kernels(Device((7, 5), 40)))
    routing.install(tracer, {}, "balanced")
    with tracer:
        count = torch.empty((), dtype=torch.int64, device="meta")
        assert count.item() == 1
        assert bool(count == 7)


def test_generation_has_a_worst_case_where_experts_pick_their_tokens() -> None:
    """LongCat-Flash looks each expert's tokens up; Mixtral multiplies sorted ones, which takes the same for any."""
    taken = {}
    for family in ("longcat_flash", "mixtral"):
        for case in ("balanced", "worst"):
            setup = GenerateSettings(prompt_len=64, max_new_tokens=2, dtype="bfloat16", routing=case).setup
            config = small_config(family)
            if family == "longcat_flash":
                config.n_routed_experts = 16  # of 512, each of which is a pass of its own
            trace = trace_generate(config, setup, (8, 0), 108)
            taken[family, case] = sum(event.nbytes for event in trace.events if isinstance(event, Alloc))
            assert ("taken as " + case in trace.notes[0]) == (family == "longcat_flash")
    assert taken["longcat_flash", "worst"] > taken["longcat_flash", "balanced"]
    assert taken["mixtral", "worst"] == taken["mixtral", "balanced"]
