"""Real ranks of transformers' tensor parallelism over gloo, against the ranks as simulated.

``GLOO=all`` takes all of them (``make gloo``), which is minutes; without it none is taken here.
"""

from __future__ import annotations

import json
import os
from collections import Counter

import pytest

from tests.simulate.cpu_sizes import WRAPPED_NUMBER, levels
from tests.simulate.parallel.gloo_tensor import CASES, simulated
from tests.warm import warm

pytestmark = pytest.mark.filterwarnings("ignore")

NEEDED = ("torch.profiler", "torch.distributed.tensor", "transformers.models.llama", "transformers.trainer")
HELD = "what gloo sent may be held past the end of a step, now and then: make gloo"


@pytest.mark.skipif(os.environ.get("GLOO") != "all", reason=HELD)
@pytest.mark.parametrize("name", list(CASES))
def test_a_simulated_rank_of_tensor_parallelism_is_the_real_one_to_the_byte(name):
    done = warm(NEEDED, dict(os.environ)).run(["-m", "tests.simulate.parallel.gloo_tensor", name], dict(os.environ))
    assert done.returncode == 0, done.stderr[-2000:]
    for rank, real in enumerate(json.loads(done.stdout.splitlines()[-1])[name]):
        made = simulated(name, rank)
        ours = [nbytes for nbytes, _ in made]
        # Numbers of the experts that were hit are data: a few vectors of as many.
        above = 1023 if name.startswith("ep") else WRAPPED_NUMBER
        assert levels(ours, above) == levels(real, above)
        missing = Counter(each for each in ours if abs(each) > above) - Counter(real)
        assert not missing, [each for each in made if each[0] in missing]
