import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.errors import InspectorError
from inspector.units import GB, block_bytes, count, gibibytes, mebibytes, megabytes, parse_size, percent, short_count


def test_decimal_and_binary_units_are_different_words():
    assert megabytes(5_591_540_224) == "5,591.5 MB"
    assert mebibytes(2**21) == "2.0 MiB"
    assert gibibytes(16 * 2**30) == "16.00 GiB"
    assert count(8_030_261_248) == "8,030,261,248"
    assert short_count(8_030_261_248) == "8.03B"


@given(st.integers(0, 2**50))
def test_a_block_is_the_next_multiple_of_512(nbytes):
    block = block_bytes(nbytes)
    assert block % 512 == 0
    assert 0 <= block - nbytes < 512


@given(st.integers(0, 10**12), st.integers(1, 10**12))
def test_percent_says_0_and_100_only_when_exact(part, whole):
    part = min(part, whole)
    text = percent(part, whole)
    assert (text == "0%") == (part == 0)
    assert (text == "100%") == (part == whole)
    assert "100.0" not in text


@pytest.mark.parametrize(("text", "nbytes"), [("16GiB", 2**34), ("24 GB", 24 * GB), ("80000mib", 80000 * 2**20)])
def test_sizes_are_read_with_their_unit(text, nbytes):
    assert parse_size(text) == nbytes


@pytest.mark.parametrize("text", ["16", "", "GiB", "-1GiB", "0GB", "1e9GB", "sixteen GB"])
def test_a_size_without_a_number_and_a_unit_is_refused(text):
    with pytest.raises(InspectorError, match="not a size"):
        parse_size(text)


def test_a_short_count_never_takes_a_thousand_of_its_unit():
    assert [short_count(number) for number in (999, 999_499, 999_950, 999_999_999, 8_030_261_248)] == [
        "999", "999K", "1M", "1B", "8.03B",
    ]  # fmt: skip
