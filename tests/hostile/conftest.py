"""Running the command line with no more than the memory and time a hostile file may take."""

import json
import os
import resource
import subprocess
import sys

import pytest

from tests.sources.conftest import LLAMA

ADDRESS_SPACE = 4 << 30
"""Virtual bytes: torch maps far more than it uses, so this is a fence against runaway; resident memory is measured."""

RESIDENT = 1 << 30


@pytest.fixture
def limited():
    """Run Inspector and hold it to 10 s of CPU, 1 GiB resident."""

    def run(*args):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        done = subprocess.run(
            [sys.executable, "-m", "inspector", *args],
            capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "OMP_NUM_THREADS": "1"},
            preexec_fn=lambda: (
                resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE)),
                resource.setrlimit(resource.RLIMIT_CPU, (10, 12)),
            ),
        )  # fmt: skip
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        assert peak <= max(RESIDENT, before * 1024), f"{peak:,} bytes resident"
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def llama_config():
    return json.loads(json.dumps(LLAMA))
