"""Which causal language model families go through a simulated generation, and why the others do not.

Run it as ``python benchmarks/families_generate.py [FAMILY ...]``. It takes about two minutes for all of them.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "simulate"))

from families import families, small_config

from inspector.simulate.program.decoding import trace_generate
from inspector.simulate.setup.generation import GenerateSettings


def attempt(model_type: str) -> str:
    """Empty when a generation was simulated, else the reason in one line."""
    setup = GenerateSettings(prompt_len=40, max_new_tokens=12, dtype="bfloat16").setup
    try:
        trace_generate(small_config(model_type), setup, (8, 0), 108)
    except Exception as error:  # noqa: BLE001 -- whatever a library raises is the answer here
        return " ".join(str(error).split())[:160] or type(error).__name__
    return ""


def main() -> None:
    """Try every family, print those that fail and the count."""
    warnings.simplefilter("ignore")
    names = sys.argv[1:] or families()
    began = time.perf_counter()
    failed = {name: reason for name in names if (reason := attempt(name))}
    for name, reason in failed.items():
        print(f"{name:28} {reason}")
    print(f"{len(names) - len(failed)} of {len(names)} families in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
