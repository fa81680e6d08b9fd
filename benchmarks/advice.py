"""How long a fine-tuning that may not fit takes with its advice, for every bundled model, beside a bare import.

`python benchmarks/advice.py [--gpu T4] [--only TEXT]` runs each as a process of its own with nothing kept, and prints
the seconds of the processor (on a busy machine those of the clock are not the program's) and how many times those of
importing torch, transformers, peft and bitsandbytes they are. Exit code 1 when one takes more than three times as long.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile

from rich.console import Console
from rich.table import Table

from inspector.sources.bundled import model_ids

MOST = 3.0
"""Times the bare import that advice may take."""
IMPORT = "import torch, transformers, peft, bitsandbytes"


def processor_seconds(arguments: list[str], cache: str) -> tuple[float, int]:
    """What a Python process took of the processor, and its exit code."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "INSPECTOR_CACHE": cache},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    return usage.ru_utime + usage.ru_stime, os.waitstatus_to_exitcode(status)


def main() -> int:
    """Time every model, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpu", default="T4")
    parser.add_argument("--only", default="", help="models whose name contains this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        # The first fills the byte code's cache; then the least of three, as everything else makes it longer.
        bare = min([processor_seconds(["-c", IMPORT], cache)[0] for _ in range(4)][1:])
    table = Table("model", "processor s", f"times the import ({bare:.2f} s)", "exit code", box=None)
    slowest = 0.0
    for model in model_ids():
        if options.only.lower() not in model.lower():
            continue
        with tempfile.TemporaryDirectory() as cache:
            words = ["-m", "inspector", "simulate", "finetune", model, "--gpu", options.gpu, "--json"]
            seconds, code = processor_seconds(words, cache)
        slowest = max(slowest, seconds / bare)
        table.add_row(model, f"{seconds:.1f}", f"{seconds / bare:.2f}", str(code))
    Console(width=120).print(table)
    return int(slowest > MOST)


if __name__ == "__main__":
    sys.exit(main())
