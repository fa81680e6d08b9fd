"""What NCCL takes of a card: the rule of its own source."""

from __future__ import annotations

import json
from pathlib import Path

from inspector.simulate.parallel.nccl import LL, LL128, SIMPLE, nccl_bytes, pair_bytes
from inspector.simulate.parallel.rank_trace import Collective


def test_a_channel_between_two_cards_has_a_buffer_of_every_protocol():
    assert (LL, LL128, SIMPLE) == (524_288, 4_915_200, 4_194_304)
    # 9.2 MiB and its counters to receive in, rounded up to whole pieces of 2 MiB, and one piece to send.
    assert pair_bytes() == 12 * 2**20


def test_a_communicator_for_every_group_and_a_tree_where_something_is_summed():
    gathers, sums = Collective("all-gather", 8, 4, 1), Collective("all-reduce", 8, 4, 1)
    assert nccl_bytes([]) == (0, 0)
    assert nccl_bytes([gathers]) == (24 << 20, 768 << 20)
    assert nccl_bytes([gathers, sums]) == (24 << 20, 5 * 768 << 20)
    assert nccl_bytes([gathers, Collective("all-reduce", 8, 2, 1)]) == (48 << 20, 6 * 768 << 20)
    assert nccl_bytes([Collective("all-reduce", 8, 1, 3)]) == (0, 0)


def test_what_cards_said_of_published_runs_lies_in_the_range():
    """By ``python benchmarks/nccl_gaps.py``: nvidia-smi's figure of a run, a rank's process at least and at most."""
    lines = (Path(__file__).parents[3] / "benchmarks" / "results" / "nccl_gaps.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) >= 6
    assert [row["run"] for row in rows if not row["least"] <= row["smi"] <= row["most"]] == []
