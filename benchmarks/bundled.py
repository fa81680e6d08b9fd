"""Which bundled models go through a simulated LoRA step and a simulated generation, and why the others do not.

Run it as ``python benchmarks/bundled.py [MODEL ...]``; all of them, each set of tensors once, take about four minutes.
Exits 1 when a model does not go through; BERT, which generates no text, is to be the only one.
"""

from __future__ import annotations

import sys
import time
import warnings
from functools import partial
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.gpus import find_gpu
from inspector.simulate.finetuning import finetune
from inspector.simulate.generation import simulate_generate
from inspector.sources.bundled import load_bundled, model_ids

if TYPE_CHECKING:
    from collections.abc import Callable

CARD = "H200"


def distinct() -> list[str]:
    """One model for each set of tensors and modules."""
    found: dict[object, str] = {}
    for name in model_ids():
        skeleton = load_bundled(name)
        found.setdefault((skeleton.tensors, skeleton.modules), name)
    return list(found.values())


def attempt(simulate: Callable[[], object]) -> str:
    """Empty when it was simulated, else the reason in one line."""
    try:
        simulate()
    except InspectorError as error:
        return error.message
    return ""


def main() -> int:
    """Try every model, print those that fail and the counts."""
    warnings.simplefilter("ignore")
    names = sys.argv[1:] or distinct()
    began, failed = time.perf_counter(), 0
    for name in names:
        at = time.perf_counter()
        step = attempt(partial(finetune, name, method="lora", gpu=CARD, seq_len=128, dtype="bfloat16"))
        decode = attempt(partial(simulate_generate, name, gpu=find_gpu(CARD), prompt_len=64, max_new_tokens=4))
        failed += bool(step) + bool(decode)
        print(f"{name:48} {time.perf_counter() - at:5.1f} s  {step or 'ok'}  {decode or 'ok'}", flush=True)
    print(f"{len(names)} models, {failed} failures, {time.perf_counter() - began:.0f} s")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
