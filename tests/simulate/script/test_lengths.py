"""Lengths of samples by a file or by a distribution: what is read, what is refused, and what is drawn."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspector.errors import InspectorError
from inspector.simulate.setup.lengths import MOST_TOKENS, parse_lengths


def test_a_file_of_lengths_comes_in_its_order_and_again(tmp_path):
    path = tmp_path / "lengths.txt"
    path.write_text("\ufeff12\n\n 7 # short\n# all\r\n2048\n", encoding="utf-8")
    lengths = parse_lengths(str(path))
    assert lengths.known == (12, 7, 2048)
    assert lengths.sample(5) == (12, 7, 2048, 12, 7)
    assert lengths.most == 2048


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "holds no lengths"),
        ("# 12\n", "holds no lengths"),
        ("12\n12.5\n", "line 2: '12.5' is no whole number of tokens"),
        ("12\n\n-3\n", "line 3: '-3' is no whole number"),
        ("0\n", "line 1: 0 tokens are no sample"),
        ("1_000\n", "line 1: '1_000' is no whole number"),
        ("12, 13\n", "line 1: '12, 13' is no whole number"),
        ('{"length": 12}\n', "line 1: '{\"length\": 12}' is no whole number"),
        ("9" * 5000, "line 1: '9999"),
        ("99999999\n", "line 1: 99999999 tokens are no sample"),
        ("\u0661\u0662\n", "line 1"),
    ],
)
def test_a_file_that_holds_no_lengths_names_its_line(content, told, tmp_path):
    path = tmp_path / "lengths.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InspectorError) as caught:
        parse_lengths(str(path))
    assert told in caught.value.message
    assert len(caught.value.message.splitlines()) == 1
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("nowhere.txt", "no such file of lengths: 'nowhere.txt'"),
        ("", "no such file"),
        (".", "is a directory"),
        ("normal:600,1,2048", "'normal' is no distribution"),
        ("lognormal:", "does not have three numbers"),
        ("lognormal:600,1", "does not have three numbers"),
        ("lognormal:600,1,2048,1", "does not have three numbers"),
        ("lognormal:many,1,2048", "does not have three numbers"),
        ("lognormal:nan,1,2048", "has a number without an end"),
        ("lognormal:600,inf,2048", "has a number without an end"),
        ("lognormal:0,1,2048", "a mean of 0 tokens is none"),
        ("lognormal:600,-1,2048", "sigma is -1"),
        ("lognormal:600,50,2048", "sigma is 50"),
        ("lognormal:600,1,2048.5", "2048.5 tokens are no longest length"),
        ("lognormal:600,1,512", "the longest, 512 tokens, is shorter than the mean of 600"),
    ],
)
def test_what_is_no_distribution_is_one_line(typed, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InspectorError) as caught:
        parse_lengths(typed)
    assert told in caught.value.message


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.floats(1, 1e5), st.floats(0, 5), st.integers(0, 2**32), st.integers(1, MOST_TOKENS), st.integers(0, 200))
def test_drawn_lengths_are_within_their_bounds_and_the_same_again(mean, sigma, seed, longest, count):
    longest = max(longest, math.ceil(mean))
    lengths = parse_lengths(f"lognormal:{mean!r},{sigma!r},{longest}")
    drawn = lengths.sample(count, seed)
    assert len(drawn) == count
    assert all(isinstance(length, int) and 1 <= length <= longest for length in drawn)
    assert drawn == lengths.sample(count, seed)
    assert drawn[: count // 2] == lengths.sample(count // 2, seed)  # a shorter run sees the same beginning
    if sigma == 0:
        assert set(drawn) <= {max(1, round(mean))}


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(1, MOST_TOKENS), min_size=1, max_size=50), st.integers(0, 200))
def test_what_is_written_is_read_back(tmp_path_factory, known, count):
    path = tmp_path_factory.getbasetemp() / "written.txt"
    path.write_text("\n".join(map(str, known)))
    lengths = parse_lengths(str(path))
    assert lengths.known == tuple(known)
    assert lengths.most == max(known)
    drawn = lengths.sample(count, 3)
    assert list(drawn[: len(known)]) == known[:count]


def test_the_mean_is_that_of_the_lengths_and_seeds_differ():
    lengths = parse_lengths(" lognormal : 600 , 0.5 , 100000 ".replace(" ", ""))
    drawn = lengths.sample(40_000, 1)
    assert abs(statistics.fmean(drawn) - 600) < 6  # its standard error is 1.6
    assert abs(statistics.stdev(map(math.log, drawn)) - 0.5) < 0.01
    assert drawn != lengths.sample(40_000, 2)
    # Written down once: another machine or another Python must draw the same.
    assert lengths.sample(8, 0) == (556, 514, 323, 397, 324, 178, 537, 528)
