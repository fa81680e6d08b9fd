"""How long dry runs take, each as a whole process with nothing kept, and again with the answer kept.

`python benchmarks/simulate.py` prints every command's seconds (of the clock, and of the processor: on a busy machine
the first is not the program's), its peak memory, and the limits it is held to. `--only TEXT` picks commands.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Case:
    """A command line, and its limits in seconds and MB (10^6 bytes); None: none was set."""

    command: str
    seconds: float | None = None
    megabytes: int | None = None


CASES = (
    Case("simulate finetune", 10, 700),
    Case("simulate finetune --gpu T4", 10, 700),
    Case("simulate finetune --solve", 30),
    Case("simulate finetune --recipe week7-lite --solve", 30),
    Case("simulate finetune gpt-oss-20b --gpu T4 --solve", 30),
    Case("simulate finetune llama-3.1-405b", 25, 1500),
    Case("simulate finetune llama-3.1-405b --gpu A100-80GB", 25, 1500),
    Case("simulate finetune llama-3.1-405b --gpu H200", 12),
    Case("simulate finetune deepseek-v3 --gpu H200", 12),
    Case("simulate finetune llama-3.2-1b --gpu T4 --method lora --batch-size 4 --seq-len 8192"),
    Case("simulate generate --gpu T4 --scheme nf4"),
    Case("simulate generate --gpu T4 --scheme nf4 --solve"),
    Case("fit"),
    Case("fit qwen2.5-7b --gpu T4"),
)


@dataclass(frozen=True)
class Run:
    """What one process took: seconds of the clock and of the processor, peak resident bytes, exit code."""

    wall: float
    processor: float
    peak: int
    code: int


def timed(arguments: list[str], cache: str) -> Run:
    """Run the command line as a process of its own."""
    command = [sys.executable, "-m", "inspector", *arguments, "--json"]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, "INSPECTOR_CACHE": cache}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    seconds = usage.ru_utime + usage.ru_stime
    return Run(time.perf_counter() - start, seconds, peak, os.waitstatus_to_exitcode(status))


def within(case: Case, run: Run) -> str:
    """Whether the limits were kept; ``failed`` for a command that had no answer."""
    if run.code not in {0, 1}:
        return "failed"
    kept = (case.seconds is None or run.wall <= case.seconds) and (
        case.megabytes is None or run.peak <= case.megabytes * 10**6
    )
    return "yes" if kept else "no"


def main() -> None:
    """Time every command and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="commands that contain this")
    wanted = parser.parse_args().only
    table = Table("command", "s", "processor s", "limit s", "MB", "limit MB", "within", "again s", "again MB", box=None)
    for case in (case for case in CASES if wanted in case.command):
        with tempfile.TemporaryDirectory() as cache:
            first, again = (timed(case.command.split(), cache) for _ in range(2))
        limits = ["" if limit is None else f"{limit:g}" for limit in (case.seconds, case.megabytes)]
        table.add_row(
            case.command, f"{first.wall:.1f}", f"{first.processor:.1f}", limits[0], f"{first.peak / 1e6:.0f}",
            limits[1], within(case, first), f"{again.wall:.2f}", f"{again.peak / 1e6:.0f}",
        )  # fmt: skip
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
