"""How long an answer takes, as a whole process: Inspector beside building the skeleton, and beside other estimators.

`python benchmarks/startup.py` prints a table with the median of several runs and each command's ratio to Inspector.
`--rivals` installs the quickest torch-free estimators from the package index into an environment of their own. They ask
a hub for the model's config and headers, so a small one is served on this machine: what is timed is their work and not
a network.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
import venv
from pathlib import Path

from hub import serve
from rich.console import Console
from rich.table import Table

MODEL = "meta-llama/Llama-3.1-8B"
ENVIRONMENT = Path(__file__).parent / ".rivals"

BUILD = """
import json, sys
from inspector.architecture import build_skeleton
from inspector.sources.bundled import bundled_config
print(build_skeleton(bundled_config(sys.argv[1]), model_id=sys.argv[1]).num_parameters)
"""
BUILD_405B = """
import torch, transformers, time
from inspector.architecture import build_skeleton
from inspector.sources.bundled import bundled_config
build_skeleton(bundled_config("openai-community/gpt2"), model_id="warm-up")  # transformers imports lazily
import transformers.models.llama.modeling_llama
start = time.perf_counter()
build_skeleton(bundled_config("meta-llama/Llama-3.1-405B"), model_id="405B")
print(time.perf_counter() - start)
"""


def timed(command: list[str], environment: dict[str, str], runs: int) -> tuple[float, int] | None:
    """Median seconds and peak MiB of a command as a process; one run goes before and is not counted.

    None for a command that fails: how long a failure takes is no figure. (hf-mem has the hub's address built in, so it
    answers only with a network.)
    """
    seconds, peaks = [], []
    for _ in range(runs + 1):
        start = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds.append(time.perf_counter() - start)
        peaks.append(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024))
        if os.waitstatus_to_exitcode(status) != 0:
            return None
    return statistics.median(seconds[1:]), max(peaks[1:]) // 2**20


def rivals() -> dict[str, list[str]]:
    """The commands of the other estimators, installed where they touch nothing of ours."""
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        venv.create(ENVIRONMENT, with_pip=True)
    packages = ["canifinetune", "hf-mem", "fitcheck-llm"]
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
    tools = ENVIRONMENT / "bin"
    return {
        "canifinetune": [str(tools / "canifinetune"), "estimate", "--model", MODEL, "--gpu-vram-gb", "24"],
        "hf-mem": [str(tools / "hf-mem"), "--model-id", MODEL],
        "fitcheck-llm": [str(tools / "fitcheck"), MODEL, "--qlora"],
    }


def main() -> None:
    """Time everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rivals", action="store_true", help="install and time the other estimators too")
    options = parser.parse_args()
    commands = {
        "inspector memory --bits 4": [sys.executable, "-m", "inspector", "memory", "--bits", "4"],
        "building the skeleton": [sys.executable, "-c", BUILD, MODEL],
    }
    if options.rivals:
        commands |= rivals()
    table = Table("command", "seconds (median)", "peak MiB", "times Inspector", box=None)
    with serve(MODEL) as address:
        environment = {**os.environ, "HF_ENDPOINT": address, "HF_HUB_DISABLE_TELEMETRY": "1"}
        first = None
        for name, command in commands.items():
            if figures := timed(command, environment, options.runs):
                first = first or figures[0]
                table.add_row(name, f"{figures[0]:.2f}", str(figures[1]), f"{figures[0] / first:.1f}")
            else:
                table.add_row(name, "failed", "", "")
    Console().print(table)
    done = subprocess.run([sys.executable, "-c", BUILD_405B], capture_output=True, text=True, check=True)
    print(f"building the skeleton of Llama 3.1 405B, beyond imports: {float(done.stdout):.2f} s")


if __name__ == "__main__":
    main()
