"""Coverage-guided fuzzing of every parser. What it finds is left in fuzz/crashes, to be kept there.

Seconds each, from a corpus that already reaches far; `make fuzz` takes the minutes that new ground needs.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"
sys.path.insert(0, str(FUZZ))

import targets  # noqa: E402 -- fuzz/ is no package: atheris runs its files as scripts

SECONDS = int(os.environ.get("INSPECTOR_FUZZ_SECONDS", "4"))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this platform")
@pytest.mark.parametrize("target", targets.TARGETS)
def test_nothing_new_is_found(target):
    done = subprocess.run(
        ["sh", str(FUZZ / "run"), str(SECONDS), target],
        env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True,
        errors="replace", check=False, timeout=SECONDS + 120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    runs = int(done.stderr.rpartition("stat::number_of_executed_units:")[2].split()[0])
    assert runs > 20 * SECONDS, f"only {runs} inputs in {SECONDS} s: the target has become too slow to find anything"
