"""Real trainers on real ranks: every case is in the results of `make gloo`, and one is simulated anew beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.simulate.cpu_sizes import levels
from tests.simulate.parallel.gloo_trainers import CASES, SMALLEST, simulated

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.pinned]

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results" / "gloo.jsonl"


@pytest.fixture(scope="module")
def kept():
    return {row["case"]: row for row in map(json.loads, RESULTS.read_text().splitlines())}


def test_every_case_was_equal_to_the_byte(kept):
    assert set(kept) == set(CASES)
    assert {row["verdict"] for row in kept.values()} == {"equal"}
    assert all(each["real"][0] > 500_000 and each["real"] == each["ours"] for row in kept.values()
               for each in row["ranks"])  # fmt: skip


def test_a_rank_is_still_what_the_real_one_was(kept):
    pytest.importorskip("trl")
    name, rank = "fsdp2 dpo", 1
    made = [nbytes for nbytes, _ in simulated(name, rank)]
    assert list(levels(made, SMALLEST - 1)) == kept[name]["ranks"][rank]["real"]
