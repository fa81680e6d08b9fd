"""Build the real Llama 3.1 8B at 4 bits on this CPU: time against bitsandbytes' quantize calls alone, and peak memory.

Usage: python benchmarks/measure_8b.py [--model NAME] [--scheme nf4-dq] [--layers N]

Prints one JSON object and exits 1 when building takes more than 15 % longer than the quantize calls in it, or the
resident set peaks more than 1.2 GB above the quantized size. Needs about 8 GB of memory and a few minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

OVERHEAD = 0.15
ABOVE_BYTES = 1_200_000_000


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="meta-llama/Llama-3.1-8B")
    parser.add_argument("--scheme", default="nf4-dq")
    parser.add_argument("--layers", type=int)
    options = parser.parse_args()

    import bitsandbytes

    from inspector.architecture import build_skeleton
    from inspector.lenses.weights import weights
    from inspector.measure import machine
    from inspector.measure.build import build
    from inspector.measure.spec import cut_config
    from inspector.measure.weigh import weigh
    from inspector.measure.weightsource import RandomWeights
    from inspector.precision import scheme_named
    from inspector.sources.resolve import resolve_config

    machine.return_freed_memory()
    quantizing = Stopwatch(bitsandbytes.functional.quantize_4bit)
    bitsandbytes.functional.quantize_4bit = quantizing
    config = cut_config(resolve_config(options.model), options.layers)
    predicted = weights(build_skeleton(config, model_id=options.model), scheme_named(options.scheme))
    machine.reset_resident_peak()
    begun = time.perf_counter()
    model = build(config, options.scheme, RandomWeights())
    seconds = time.perf_counter() - begun
    peak = machine.resident()["resident_peak_bytes"]
    weighed = weigh(model)
    found = {
        "model": options.model,
        "scheme": options.scheme,
        "tensor_bytes": {"predicted": predicted.tensor_bytes, "measured": weighed.tensor_bytes},
        "footprint_bytes": {"predicted": predicted.footprint_bytes, "measured": weighed.footprint_bytes},
        "build_seconds": round(seconds, 2),
        "quantize_calls": quantizing.calls,
        "quantize_seconds": round(quantizing.seconds, 2),
        "overhead": round(seconds / quantizing.seconds - 1, 4),
        "resident_peak_bytes": peak,
        "above_quantized_size_bytes": peak - weighed.tensor_bytes,
        "device": machine.describe(machine.device_named("cpu")),
        "versions": machine.versions(),
    }
    print(json.dumps(found, indent=2))
    equal = weighed.tensor_bytes == predicted.tensor_bytes and weighed.footprint_bytes == predicted.footprint_bytes
    good = equal and found["overhead"] <= OVERHEAD and found["above_quantized_size_bytes"] <= ABOVE_BYTES
    return 0 if good else 1


class Stopwatch:
    """A function that adds up the time its calls take."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.seconds = 0.0
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it and take the time."""
        begun = time.perf_counter()
        try:
            return self.function(*args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - begun
            self.calls += 1


if __name__ == "__main__":
    sys.exit(main())
