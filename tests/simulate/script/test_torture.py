"""What is hard to follow in a script, beside its real run on a CPU: every peak and every rest equal to the byte."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

LOOP = st.fixed_dictionaries({
    # Up to 1 MiB a tensor: above, a card's allocator may hand out more than was asked for, and counts it.
    "width": st.integers(1, 2), "rows": st.integers(1, 2),
    "depth": st.integers(1, 4), "frozen": st.integers(0, 3), "checkpoint": st.booleans(), "momentum": st.booleans(),
    "steps": st.integers(1, 3), "to_none": st.booleans(), "accumulate": st.integers(1, 3),
    "hold": st.sampled_from(["", "detached", "whole"]), "let_go": st.booleans(), "clip": st.booleans(),
    "gradients": st.booleans(), "evaluate": st.booleans(), "drop": st.booleans(),
})  # fmt: skip


# One run of many loops costs what one of a single loop does; a counterexample is named with its own figures.
@settings(max_examples=1, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(LOOP, min_size=8, max_size=8))
def test_any_piece_and_any_loop_take_on_the_card_what_they_take_for_real(on_both, loops):
    found = on_both("torture.py", *(json.dumps(loop) for loop in loops))
    real, simulated = ([line for line in lines if line.startswith("PIECE")] for lines in found[:2])
    assert len(real) > len(loops) + 30
    different = [(a, b) for a, b in zip(real, simulated, strict=True) if a != b]
    assert different == [], [loops[int(a.split()[1][4:])] for a, _ in different if a.split()[1].startswith("loop")]
    assert found[2].script_exit_code == 0
