"""Which causal language model families go through a simulated LoRA step or generation, and why the others do not.

Run it as ``python benchmarks/families.py [--generate] [FAMILY ...]``. It takes about two minutes for all of them.
"""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "simulate"))

from families import families, small_config

from inspector.simulate.program.decoding import trace_generate
from inspector.simulate.program.training import trace_finetune
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.simulate.setup.generation import GenerateSettings

ATTEMPTS = (("bfloat16", True), ("bfloat16", False), ("float32", False))
"""A few families cannot mix their layers freely, and a few models' own code runs in float32 only."""


def train(model_type: str) -> str:
    """Empty when a step was simulated, else the reason in one line."""
    reason = ""
    for dtype, mixed in ATTEMPTS:
        try:
            setup = resolve_setup(method="lora", batch_size=1, seq_len=64, dtype=dtype, steps=1).setup
            trace_finetune(small_config(model_type, mixed=mixed), setup, (8, 0), 108)
        except Exception as error:  # noqa: BLE001 -- whatever a library raises is the answer here
            reason = reason or " ".join(str(error).split())[:160]
        else:
            return ""
    return reason


def generate(model_type: str) -> str:
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
    said = sys.argv[1:]
    attempt = generate if "--generate" in said else train
    names = [name for name in said if name != "--generate"] or families()
    began = time.perf_counter()
    failed = {name: reason for name in names if (reason := attempt(name))}
    for name, reason in failed.items():
        print(f"{name:28} {reason}")
    print(f"{len(names) - len(failed)} of {len(names)} families in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
