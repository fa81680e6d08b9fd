"""``python -m inspector.measure.child``: one measurement in a process of its own.

Reads one line of JSON (an `Order`) from standard input and writes lines of JSON: ``{"progress": ...}`` while it works,
then one ``{"result": ...}``, ``{"error": ...}`` for the user to mend, or ``{"fault": ...}`` with the traceback of a
mistake of ours. What a library or the device failed at it leaves as a traceback on standard error. It ends when its
standard input is closed, so that it never outlives the process that asked.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspector.architecture.libraries import need
from inspector.errors import InspectorError, in_one_line
from inspector.measure import machine
from inspector.measure.failures import is_anothers, is_out_of_memory
from inspector.measure.spec import MeasureSpec, Order

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from inspector.measure.weigh import Weighing


def main() -> None:
    """Do what the order says."""
    # Descriptors and not ``sys.stdout``: libraries in C print past Python.
    talk = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no result
    # Before torch is imported: mallopt(3) decides of blocks that are allocated after it.
    machine.return_freed_memory()
    line = sys.stdin.readline()
    # Only now: both the order and the end of the input are read from descriptor 0.
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def say(**message: object) -> None:
        talk.write(json.dumps(message) + "\n")
        talk.flush()

    answer(line, say)


def answer(line: str, say: Callable[..., None]) -> None:
    """Do an order and say what became of it. Raises what is a result for who asked: a library's or device's failure."""
    try:
        say(result=Measuring(Order.from_dict(json.loads(line)), say).run())
    except InspectorError as error:
        say(error={"message": error.message, "hint": error.hint})
    except Exception as error:
        if is_anothers(error):
            raise
        say(fault=traceback.format_exc())


def _end_with_parent() -> None:
    """Leave at once when the asking process has closed our standard input, or is gone."""
    while os.read(0, 1 << 16):
        pass
    # ``sys.exit`` would end this thread alone. 130 is what a shell says after Ctrl-C: 128 and the signal's number.
    os._exit(130)


class Measuring:
    """One measurement: build, weigh, add adapters, train, judge; out of memory is a result."""

    def __init__(self, order: Order, say: Callable[..., None]) -> None:
        self.order = order
        self.say = say
        self.at: dict[str, Any] = {"stage": "start", "done": 0, "total": 0, "name": ""}
        self.result: dict[str, Any] = {"status": "measured", "versions": machine.versions()}
        self._said = 0.0

    def run(self) -> dict[str, Any]:
        """The whole result, as far as it got. Raises LibraryError when a library it needs does not import."""
        spec = self.order.spec
        # At once: what comes first is seconds of imports.
        self.say(progress=self.at)
        # The device first: one that is not there is refused before the other libraries take their seconds.
        need("torch")
        device = machine.device_named(spec.device)
        # A step without adapters needs PEFT too: `train.prepare` is PEFT's.
        need("transformers", "accelerate", "bitsandbytes", *(("peft",) if spec.lora or spec.step else ()))
        import inspector.measure.build
        import inspector.measure.train  # noqa: F401 -- the libraries' own memory is not the model's

        # After the imports: on a CPU the limit is counted from what the process has by now.
        self._limit(device)
        if spec.parallel:
            from inspector.measure.ranks import begin

            begin(device)
        self.result["device"] = machine.describe(device)
        self._enough(device)
        try:
            self._measure(spec, device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            # The first 300 characters of CUDA's long message say how much was asked for and how much was free.
            self.result |= {"status": "out of memory", "reached": self.at, "said": in_one_line(error, 300)}
            if device.type == "cuda":
                self.result["at_failure"] = machine.cuda_memory(device)
        finally:
            if spec.parallel:
                from inspector.measure.ranks import end

                end()
        return self.result

    def _measure(self, spec: MeasureSpec, device: torch.device) -> None:
        from inspector.measure.build import build
        from inspector.measure.train import add_lora, needs_preparing, prepare, run_steps
        from inspector.measure.weigh import weigh

        self._note("build")
        # Before the first reading, as the headers of the files are no memory of the model.
        source = self._source(spec)
        self.result["before"] = self._memory(device)
        machine.reset_resident_peak()
        begun = time.perf_counter()
        attention = spec.step.attention if spec.step else "sdpa"
        model = build(
            self.order.config, spec.scheme, source, device, attention=attention, progress=self._progress("build")
        )
        # Now, as what comes after the build would raise the peaks that the allocator remembers.
        self.result["after_build"] = self._memory(device)
        self.result["build_seconds"] = round(time.perf_counter() - begun, 3)
        base = weigh(model, self.order.parts)
        self.result["model"] = asdict(base)
        # Its pool of random numbers is no part of the model.
        del source
        if device.type == "cuda":
            import torch

            # What loading left in the cache is no part of it either; `predict.load` empties it at the same place.
            torch.cuda.empty_cache()
        self.result["steady"] = self._memory(device)
        if spec.quality:
            self._note("quality")
            self.result["quality"] = self._quality(spec, device)
        if spec.step:
            self._note("prepare")
            model = prepare(model, spec.step, quantized=needs_preparing(model, spec.scheme))
        if spec.lora:
            self._note("lora")
            before = weigh(model, self.order.parts)
            memory = self._memory(device)
            model = add_lora(model, spec.lora, seed=spec.seed)
            after = weigh(model, self.order.parts)
            self.result["lora"] = _difference(before, after, memory, self._memory(device))
        if spec.step and spec.parallel:
            from inspector.measure.ranks import spread

            model = spread(model, spec, device)
        if spec.step:
            self._note("step")
            self.result["step"] = run_steps(model, spec.step, device, self._note)

    def _source(self, spec: MeasureSpec) -> Any:
        from inspector.measure.weightsource import RandomWeights, SafetensorsWeights

        if not self.order.folder:
            return RandomWeights(spec.seed)
        from inspector.architecture import build_config, model_class

        prefix = model_class(build_config(self.order.config)).base_model_prefix
        return SafetensorsWeights(Path(self.order.folder), prefix=prefix)

    def _quality(self, spec: MeasureSpec, device: torch.device) -> Any:
        from inspector.measure.quality import quality

        return quality(self.order.config, self._source(spec), device)

    def _memory(self, device: torch.device) -> dict[str, Any]:
        return machine.cuda_memory(device) | machine.resident() if device.type == "cuda" else machine.resident()

    def _limit(self, device: torch.device) -> None:
        """Pretend the device had only ``limit_bytes``."""
        limit = self.order.spec.limit_bytes
        if limit is None:
            return
        if device.type == "cuda":
            import torch

            total = torch.cuda.get_device_properties(device).total_memory
            torch.cuda.set_per_process_memory_fraction(min(limit / total, 1.0), device)
        else:
            machine.limit_data(limit)

    def _enough(self, device: torch.device) -> None:
        """Refuse before building what cannot fit a GPU; the caller has asked the same of the host's memory."""
        if device.type != "cuda":
            return
        free = self.result["device"]["free_bytes_at_start"]
        needed = self.order.needed_bytes
        if needed > free and self.order.spec.limit_bytes is None:
            raise InspectorError(
                f"this needs {needed:,} bytes, but {self.result['device']['name']} has {free:,} free",
                hint="choose a scheme with fewer bits, or --layers N for a part of the model",
            )

    def _progress(self, stage: str) -> Any:
        def progress(done: int, total: int, name: str) -> None:
            self.at = {"stage": stage, "done": done, "total": total, "name": name}
            # Five lines a second are all a person can follow; the last one always, so that a bar ends full.
            if done == total or time.monotonic() - self._said > 0.2:
                self._said = time.monotonic()
                self.say(progress=self.at)

        return progress

    def _note(self, stage: str) -> None:
        self.at = {"stage": stage, "done": 0, "total": 0, "name": ""}
        self.say(progress=self.at)


def _difference(
    before: Weighing, after: Weighing, memory: dict[str, Any], memory_after: dict[str, Any]
) -> dict[str, Any]:
    """What the adapters added."""
    added = {
        f"{name}_bytes": getattr(after, f"{name}_bytes") - getattr(before, f"{name}_bytes")
        for name in ("tensor", "footprint", "block")
    }
    if "allocated_bytes" in memory:
        added["allocated_bytes"] = memory_after["allocated_bytes"] - memory["allocated_bytes"]
    return added


if __name__ == "__main__":
    main()
