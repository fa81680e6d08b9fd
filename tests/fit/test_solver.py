"""The search for the border: right for any memory that grows, and few simulations for memory that grows evenly."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.fit.largest import largest
from inspector.simulate.on_card import Peaks

USABLE = 24_000


def card(base, per, curve, held, slack):
    """A step that takes ``base + per n + curve n^2``, of which a share more is held, and some of that given back."""
    calls = []

    def peaks(number):
        calls.append(number)
        allocated = base + per * number + curve * number * number
        reserved = int(allocated * (1 + held))
        served = "by giving cached memory back" if allocated * (1 + slack) <= USABLE else "not"
        return Peaks(allocated, reserved, 0, USABLE, "freely" if reserved <= USABLE else served)

    return peaks, calls


@settings(max_examples=300)
@given(
    base=st.integers(0, 30_000),
    per=st.integers(0, 3000),
    curve=st.integers(0, 3),
    held=st.floats(0, 0.4),
    slack=st.floats(0, 0.1),
    start=st.integers(1, 200),
    most=st.sampled_from([1, 2, 100, 4096, 65536]),
)
def test_the_answer_fits_and_the_next_does_not(base, per, curve, held, slack, start, most):
    peaks, calls = card(base, per, curve, held, slack)
    found = largest(peaks, start, most)
    assert 0 <= found <= most
    assert all(1 <= number <= most for number in calls)
    assert len(calls) == len(set(calls)), "nothing is simulated twice"
    assert found == 0 or peaks(found).fits
    assert found == most or not peaks(found + 1).fits
    assert len(calls) <= 60


@pytest.mark.parametrize(("per", "start"), [(3, 1024), (700, 1), (50, 8), (1, 16)])
def test_even_growth_takes_few_simulations(per, start):
    peaks, calls = card(2000, per, 0, 0, 0)
    assert largest(peaks, start, 2**16) == 22_000 // per
    assert len(calls) <= 8
