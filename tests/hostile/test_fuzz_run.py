"""Coverage-guided fuzzing of every parser. What it finds is left in fuzz/crashes, to be kept there.

A second each, from a corpus that already reaches far; `make fuzz` takes the minutes that new ground needs.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).parents[2] / "fuzz"
sys.path.insert(0, str(FUZZ))

import targets  # noqa: E402 -- fuzz/ is no package: atheris runs its files as scripts

RUNS = "2000"
"""Inputs of each, where a second is more than they take."""
SECONDS = int(os.environ.get("INSPECTOR_FUZZ_SECONDS", "1"))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this platform")
def test_nothing_new_is_found():
    """All targets share the start, which takes longer than any of them here."""
    done = subprocess.run(
        ["sh", str(FUZZ / "run"), str(SECONDS), *targets.TARGETS],
        env={"RUNS": RUNS, **os.environ, "PYTHON": sys.executable}, capture_output=True, text=True,
        errors="replace", check=False, timeout=(SECONDS + 15) * len(targets.TARGETS),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    said = re.split(r"^== (\w+)\n", done.stderr, flags=re.MULTILINE)[1:]
    runs = {
        target: int(text.rpartition("stat::number_of_executed_units:")[2].split()[0])
        for target, text in zip(said[::2], said[1::2], strict=True)
    }
    assert runs.keys() == targets.TARGETS.keys()
    slow = {target: count for target, count in runs.items() if count <= 20 * SECONDS}
    assert not slow, f"so few inputs in {SECONDS} s: the target has become too slow to find anything"
