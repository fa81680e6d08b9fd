"""Measure on a GPU what Inspector predicts: Llama 3.1 8B at every number of bits, and training steps of many kinds.

Usage: python benchmarks/measure_gpu.py [--minutes 9] [--folder inspector/data/measurements] [--only WORD] [--plan]
       python benchmarks/measure_gpu.py --device cpu --layers 1 --seq-len 32 --folder DIR     to try it without a GPU

Needs torch with CUDA, transformers, peft and bitsandbytes; no network and nothing else. Every record is saved as soon
as it is measured. Runs that have a record are not repeated, so call it again to go on; none begins when the minutes
are nearly over. What cannot fit is said and skipped. Prints each figure beside its prediction; exits 1 when one that
must be equal is not.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("INSPECTOR_CACHE", str(Path(tempfile.gettempdir()) / "inspector-measure-gpu"))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["PYTHONPATH"] = os.pathsep.join([sys.path[0], *filter(None, [os.environ.get("PYTHONPATH")])])

from inspector.errors import InspectorError
from inspector.measure.records import save_record
from inspector.measure.report import Measurement, judged, make_order
from inspector.measure.runner import run_order
from inspector.measure.spec import MeasuredLora, MeasureSpec, StepSetup

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE, SMALL, MIXTURE = "meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.2-1B", "allenai/OLMoE-1B-7B-0924"
SCHEMES = ("nf4-dq", "nf4", "int8", "bf16", "fp4-dq", "fp4", "fp32")
LONGEST_RUN = 150
"""Seconds after which a run is ended, and without which none is begun."""


def plan() -> Iterator[MeasureSpec]:
    """What is measured, the most telling first."""
    lora = MeasuredLora(r=32)

    def step(model: str, scheme: str, adapters: MeasuredLora | None = lora, **options: Any) -> MeasureSpec:
        return MeasureSpec(model, scheme, "cuda", lora=adapters, step=StepSetup(**options))

    yield MeasureSpec(LARGE, "nf4-dq", "cuda", lora=lora)
    yield step(LARGE, "nf4-dq")
    yield step(LARGE, "bf16")
    yield step(SMALL, "nf4-dq", seq_len=1024)
    yield step(SMALL, "bf16", seq_len=1024)
    yield step(SMALL, "bf16", None, seq_len=1024)
    yield step(SMALL, "bf16", None, seq_len=1024, gradient_checkpointing=False, optimizer="adamw_torch_fused")
    yield step(SMALL, "nf4-dq", seq_len=1024, attention="eager")
    yield step(SMALL, "bf16", seq_len=1024, attention="eager", gradient_checkpointing=False)
    yield step(SMALL, "nf4-dq", replace(lora, dropout=0.1), seq_len=1024, gradient_checkpointing=False)
    yield step(SMALL, "nf4-dq", seq_len=1024, gradient_checkpointing=False)
    yield step(SMALL, "nf4-dq", batch_size=4, seq_len=512)
    yield step(SMALL, "nf4-dq", seq_len=1024, optimizer="paged_adamw_32bit")
    yield step(SMALL, "nf4-dq", seq_len=1024, optimizer="paged_adamw_8bit")
    yield step(MIXTURE, "bf16", seq_len=512)
    yield step(SMALL, "int8", seq_len=1024)
    for scheme in SCHEMES[1:]:
        yield MeasureSpec(LARGE, scheme, "cuda", lora=lora)
    yield MeasureSpec(LARGE, "nf4-dq", "cuda", quality=True)


def main() -> int:
    """Run them one after another, as far as the time goes."""
    options = _options()
    begun = time.monotonic()
    done = _done(options.folder)
    left = [_adapted(spec, options) for spec in plan()]
    left = [spec for spec in left if options.only in _name(spec)]
    if options.plan:
        print(*(f"{'done' if _key(spec) in done else 'to do':6} {_name(spec)}" for spec in left), sep="\n")
        return 0
    wrong = 0
    for spec in (spec for spec in left if _key(spec) not in done):
        if time.monotonic() - begun > options.minutes * 60 - LONGEST_RUN:
            print("the time is nearly over: call again to go on", flush=True)
            break
        wrong += _measured(spec, options.folder)
    return 1 if wrong else 0


def _measured(spec: MeasureSpec, folder: Path) -> bool:
    """Measure one, save it, then compare it; whether a figure that must be equal is not."""
    name, begun = _name(spec), time.monotonic()
    try:
        signal.alarm(LONGEST_RUN)
        result = run_order(make_order(spec))
    except InspectorError as error:
        print(f"{name}: {error.message}", flush=True)
        return False
    except TimeoutError:
        print(f"{name}: ended after {LONGEST_RUN} s", flush=True)
        return False
    finally:
        signal.alarm(0)
    date = dt.datetime.now(dt.UTC).replace(microsecond=0).isoformat()
    path = save_record(Measurement(spec, result, date=date), folder)
    said = f": {result.get('said', '')}" if result["status"] != "measured" else ""
    print(f"{name}: {result['status']}{said}, {time.monotonic() - begun:.0f} s, {path.name}", flush=True)
    found = judged(spec, result, date=date)
    for each in found.comparisons:
        print(f"  {each.name:26} {each.predicted:>16,} predicted {each.measured:>16,} measured "
              f"{each.difference:>+14,} {each.percent:+8.3f}% {each.cause}", flush=True)  # fmt: skip
    if found.unpredicted:
        print(f"  {found.unpredicted}", flush=True)
    return found.status == "measured" and not found.agrees


def _options() -> Any:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("inspector/data/measurements"))
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--only", default="", help="those with this in their name")
    parser.add_argument("--plan", action="store_true", help="only list what is to do")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--layers", type=int)
    parser.add_argument("--seq-len", type=int)
    signal.signal(signal.SIGALRM, _late)
    return parser.parse_args()


def _late(*_: Any) -> None:
    raise TimeoutError


def _adapted(spec: MeasureSpec, options: Any) -> MeasureSpec:
    step = replace(spec.step, seq_len=options.seq_len) if spec.step and options.seq_len else spec.step
    return replace(spec, device=options.device, layers=options.layers, step=step)


def _done(folder: Path) -> set[str]:
    """The specs that have a record of a run that came to an end."""
    found = set()
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if record.get("result", {}).get("status") in {"measured", "out of memory"}:
            found.add(_key(MeasureSpec.from_dict(record["spec"])))
    return found


def _key(spec: MeasureSpec) -> str:
    return json.dumps(spec.to_dict(), sort_keys=True)


def _name(spec: MeasureSpec) -> str:
    words = [spec.model.rpartition("/")[2], spec.scheme, "lora" if spec.lora else "full" if spec.step else "build"]
    if spec.lora and spec.lora.dropout:
        words.append(f"dropout {spec.lora.dropout}")
    if step := spec.step:
        words += [f"{step.batch_size}x{step.seq_len}", step.optimizer, step.attention]
        words += ["checkpointing"] * step.gradient_checkpointing
    return " ".join(words + ["quality"] * spec.quality)


if __name__ == "__main__":
    sys.exit(main())
