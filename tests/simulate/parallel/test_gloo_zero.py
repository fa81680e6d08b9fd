"""DeepSpeed's stages on two real ranks over gloo, and what their allocators did, against the ranks as simulated."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec

import pytest

from tests.simulate.cpu_sizes import WRAPPED_NUMBER, levels
from tests.simulate.parallel.gloo_ranks import RANKS

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs DeepSpeed"),
]


@pytest.fixture(scope="module")
def ranks():
    """What every rank of every stage really did."""
    command = [sys.executable, "-m", "tests.simulate.parallel.gloo_zero"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("rank", range(RANKS))
@pytest.mark.parametrize("stage", [1, 2, 3, 30])
def test_a_simulated_rank_of_zero_is_the_real_one_to_the_byte(stage, rank, ranks):
    from tests.simulate.parallel.gloo_zero import simulated

    real, made = ranks[str(stage)][rank], simulated(stage, rank)
    ours = [nbytes for nbytes, _ in made]
    assert levels(ours) == levels(real)
    # Every tensor of ours is one of theirs; gloo copies what it sends besides, and lets go at once.
    missing = Counter(each for each in ours if abs(each) > WRAPPED_NUMBER) - Counter(real)
    assert not missing, [each for each in made if each[0] in missing]
