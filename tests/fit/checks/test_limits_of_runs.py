"""A limit in a line: its unit, its border, and by how much a figure is on the wrong side."""

import pytest

from inspector.fit.checks.limits import parse_limit, shown
from inspector.units import GiB, MiB


@pytest.mark.parametrize(
    ("text", "value", "whole", "holds", "over"),
    [
        ("peak <= 15 GiB", 15 * GiB, 0, True, "0.0 MiB"),
        ("peak < 15 GiB", 15 * GiB, 0, False, "0.0 MiB"),
        ("peak <= 15GiB", 15 * GiB + 3 * MiB, 0, False, "3.0 MiB"),
        ("PEAK<=1,024 MiB", 3 * GiB, 0, False, "2.00 GiB"),
        ("margin >= 512 MiB", 500 * MiB, 0, False, "12.0 MiB"),
        ("margin >= 0", -1, 0, False, "0.0 MiB"),
        ("allocated ≤ 2 GB", 2_000_000_000, 0, True, "0.0 MiB"),
        ("trainable <= 1 %", 10, 1000, True, "0 %"),
        ("trainable <= 1%", 11, 1000, False, "0.1 %"),
        # A border of thirds is not decided by a rounding.
        ("trainable < 33.333333333333 %", 1, 3, False, "3.333e-13 %"),
        ("trainable <= 20M", 20_000_001, 0, False, "1"),
        ("trainable = 3,407,872", 3_407_872, 0, True, "0"),
    ],
)
def test_limits(text, value, whole, holds, over):
    limit = parse_limit(text)
    assert limit.holds(value, whole) is holds
    assert shown(limit.unit, limit.over(value, whole)) == over
