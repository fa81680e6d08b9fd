"""Every input that the fuzzers start from, and every crash they ever found, in the normal suite."""

import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"
sys.path.insert(0, str(FUZZ))

import targets  # noqa: E402 -- fuzz/ is no package: atheris runs its files as scripts

INPUTS = [(path.parent.name, path) for path in sorted((FUZZ / "corpus").glob("*/*"))]
INPUTS += [(path.name.partition("-")[0], path) for path in sorted((FUZZ / "crashes").glob("*-*"))]


@pytest.mark.parametrize(("target", "path"), INPUTS, ids=lambda value: getattr(value, "name", value))
def test_an_input_is_read_or_refused_in_one_line(target, path):
    targets.run(target, path.read_bytes())


def test_there_is_something_to_start_from():
    assert {target for target, _ in INPUTS} == set(targets.TARGETS)
