"""The GPU benchmark on a bare machine: no pandas or what needs it, plotly, rich, click, platformdirs or network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inspector.measure.spec import MeasureSpec
from tests.measuring_here import MEASURING_HERE

SMALL, SMALLER = '"meta-llama/Llama-3.2-1B"', '"HuggingFaceTB/SmolLM2-135M"'
"""What the script measures, and what stands for it here: tied as well, with an embedding of a ninth."""

# Python runs it as it would the file itself, and measures in that process: two would import the same, as slowly.
RUN = f"""
import sys
del sys.argv[0]
__file__ = sys.argv[0]
text = open(__file__).read()
for said, instead in (
    ({SMALL!r}, {SMALLER!r}),
    ("from inspector.measure.runner import run_order\\n", {MEASURING_HERE!r} + "run_order = measured\\n"),
):
    assert text.count(said) == 1
    text = text.replace(said, instead)
exec(compile(text, __file__, "exec"))
"""
SCRIPT = Path(__file__).parents[2] / "benchmarks" / "measure_gpu.py"
HIDE = """
import importlib.machinery
usual = importlib.machinery.PathFinder.find_spec
hidden = {"pandas", "plotly", "rich", "click", "platformdirs", "gguf", "pynvml", "datasets", "trl"}

@classmethod
def find_spec(cls, name, path=None, target=None):
    return None if name.partition(".")[0] in hidden else usual(name, path, target)

importlib.machinery.PathFinder.find_spec = find_spec
"""


@pytest.fixture
def bare(tmp_path):
    """Run the benchmark where those packages cannot be found."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(HIDE)
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "INSPECTOR_CACHE": str(tmp_path / "cache")}
    env["OMP_NUM_THREADS"] = "1"
    words = [
        sys.executable,
        "-c",
        RUN,
        str(SCRIPT),
        "--folder",
        str(tmp_path / "records"),
    ]

    def run(*more):
        return subprocess.run(
            [*words, "--device", "cpu", "--layers", "1", *more], capture_output=True, text=True, env=env, check=False
        )

    return run


@pytest.mark.slow
def test_it_measures_saves_and_does_not_repeat(bare, tmp_path):
    chosen = ("--only", "135M nf4-dq lora 4x4", "--seq-len", "4")
    assert bare(*chosen, "--plan").stdout.startswith("to do  SmolLM2-135M nf4-dq lora 4x4")
    run = bare(*chosen)
    assert run.returncode == 0, run.stderr
    assert "step_backward_bytes" in run.stdout
    assert "+0.000%" in run.stdout
    record = json.loads(next((tmp_path / "records").glob("*.json")).read_text())
    assert MeasureSpec.from_dict(record["spec"]).step.batch_size == 4
    assert bare(*chosen, "--plan").stdout.startswith("done")
    assert bare(*chosen).stdout == ""
