"""Real ranks without a card: two processes over gloo, and what their allocators did, against the ranks as simulated.

This is the test that keeps the ranks true: another release of PyTorch may do otherwise, and then it fails.
"""

from __future__ import annotations

import json
import os
from collections import Counter

import pytest

from tests.simulate.cpu_sizes import WRAPPED_NUMBER, levels
from tests.simulate.parallel.gloo_ranks import RANKS, WAYS, simulated
from tests.warm import warm

pytestmark = pytest.mark.filterwarnings("ignore")

NEEDED = ("torch.distributed.fsdp", "torch.nn.parallel", "torch.profiler", "torch.distributed.device_mesh",
          "torch.distributed.tensor")  # fmt: skip


@pytest.fixture(scope="module")
def ranks():
    """What every rank of every way really did."""
    done = warm(NEEDED, dict(os.environ)).run(["-m", "tests.simulate.parallel.gloo_ranks", *WAYS], dict(os.environ))
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("rank", range(RANKS))
@pytest.mark.parametrize("way", WAYS)
def test_a_simulated_rank_is_the_real_one_to_the_byte(way, rank, ranks):
    real, made = ranks[way][rank], simulated(way, rank)
    ours = [nbytes for nbytes, _ in made]
    assert levels(ours) == levels(real)
    # Every tensor of ours is one of theirs; gloo copies what it sends besides, and lets go at once.
    missing = Counter(each for each in ours if abs(each) > WRAPPED_NUMBER) - Counter(real)
    assert not missing, [each for each in made if each[0] in missing]
