"""Measure Llama 3.1 8B on a GPU at every number of bits, with adapters and with training steps, and keep the records.

Usage: python benchmarks/measure_gpu.py [--model NAME] [--folder inspector/data/measurements] [--layers N]

Needs torch with CUDA, transformers, peft and bitsandbytes, and no network. What cannot fit is said and skipped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.measure import LoraSetup, MeasureSpec, StepSetup, measure, save_record

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMES = ("nf4-dq", "nf4", "fp4-dq", "fp4", "int8", "bf16", "fp32")


def specs(model: str, layers: int | None) -> Iterator[MeasureSpec]:
    """Every scheme with adapters, then one QLoRA and one LoRA training run of 1 x 2048 tokens."""
    for scheme in SCHEMES:
        yield MeasureSpec(model, scheme, "cuda", layers, lora=LoraSetup(r=32), quality=scheme == "nf4-dq")
    for scheme in ("nf4", "bf16"):
        step = StepSetup(batch_size=1, seq_len=2048, gradient_checkpointing=True)
        yield MeasureSpec(model, scheme, "cuda", layers, lora=LoraSetup(r=32), step=step)


def main() -> int:
    """Run them one after another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="meta-llama/Llama-3.1-8B")
    parser.add_argument("--folder", type=Path, default=Path("inspector/data/measurements"))
    parser.add_argument("--layers", type=int)
    options = parser.parse_args()
    wrong = 0
    for spec in specs(options.model, options.layers):
        try:
            found = measure(spec)
        except InspectorError as error:
            print(f"{spec.scheme}: {error}", flush=True)
            continue
        print(f"{spec.scheme}: {found.status}, {save_record(found, options.folder)}", flush=True)
        for each in found.comparisons:
            print(f"  {each.name}: {each.predicted:,} predicted, {each.difference:+,} {each.cause}", flush=True)
        wrong += found.status == "measured" and not found.agrees
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
