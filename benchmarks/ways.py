"""Every bundled decoder through every way of sharing a training: a dry run of its first layers, or a line why not.

Run it as ``python benchmarks/ways.py [--seconds N] [--again] [WORD ...]``: words choose models or ways that contain
one of them. What has been tried stands in the file of results and is not tried again, so that a run may be stopped and
taken up; the smallest model of each architecture comes first, so that a run stopped early has seen all of them.
``--again`` tries anew what did not answer. The first line of the file names the libraries; with others all is
tried anew. ``on`` is the day, ``peak`` the heaviest rank's allocated bytes, ``ranks`` how many differ.
"""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import importlib.metadata
import json
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from inspector.config_json import layer_count
from inspector.errors import InspectorError
from inspector.fit.ways import finetune_anywhere
from inspector.measure.spec import cut_config
from inspector.simulate.reports.libraries import versions
from inspector.sources.bundled import bundled_config, load_bundled, model_ids

RESULTS = Path(__file__).parent / "results" / "ways.jsonl"
LONGEST = 120
"""Seconds of this process's own time that one may take."""
LAYERS = 4
"""Enough for both kinds of layers of a model that has two, and for a layer before and after another."""
USUAL: dict[str, Any] = {"gpu": "H100", "seq_len": 64, "batch_size": 1}
WAYS: dict[str, dict[str, Any]] = {
    "ddp full": {"parallel": "ddp", "gpus": 2, "method": "full"},
    "fsdp2 full": {"parallel": "fsdp2", "gpus": 8, "method": "full"},
    "fsdp2 lora": {"parallel": "fsdp2", "gpus": 8, "method": "lora"},
    "fsdp2 qlora": {"parallel": "fsdp2", "gpus": 8, "method": "qlora", "quant_storage": "bfloat16"},
}
MORE: dict[str, dict[str, Any]] = {
    "zero3 full": {"parallel": "zero3", "gpus": 8, "method": "full"},
    "tp full": {"parallel": "tp:2", "gpus": 2, "method": "full"},
    "tp fsdp2 full": {"parallel": "tp:2+fsdp2", "gpus": 8, "method": "full"},
    "ep fsdp2 full": {"parallel": "ep:8+fsdp2", "gpus": 16, "method": "full"},
}


def answer(model: str, way: str) -> dict[str, Any]:
    """``answers`` with the heaviest rank's peak, ``refuses`` with its line, or ``fails`` with where."""

    def late(*_: object) -> None:
        raise TimeoutError(f"{LONGEST} s are over")

    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        config = bundled_config(model)
        fewer = min(LAYERS, getattr(layer_count(config), "count", LAYERS))
        report = finetune_anywhere(cut_config(config, fewer), **{**USUAL, **{**WAYS, **MORE}[way]})
    except InspectorError as error:
        return {"is": "refuses", "said": str(error)}
    except Exception as error:  # noqa: BLE001 -- whatever is raised is the answer here
        frame = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())[:200]
        return {"is": "fails", "said": f"{type(error).__name__}: {said} ({Path(frame.filename).name}:{frame.lineno})"}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return {"is": "answers", "peak": report.heaviest.peaks.allocated, "ranks": len(report.ranks)}


def main() -> None:
    """Try what has not been tried, and count."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--again", action="store_true")
    said = parser.parse_args()
    header = {"versions": {**versions(), **deepspeed()}, "layers": LAYERS}
    first, *known = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else [{}]
    tried = {(one["model"], one["way"]): one for one in known} if first == header else {}
    began = time.perf_counter()
    pairs = [(model, way) for models in kinds() for ways in (WAYS, MORE) for model in models for way in ways]
    for model, way in pairs:
        wanted = not said.words or any(word in text for word in said.words for text in (model, way))
        known_one = tried.get((model, way))
        if not wanted or (known_one and not (said.again and known_one["is"] != "answers")):
            continue
        if time.perf_counter() - began > said.seconds:
            break
        today = dt.datetime.now(dt.UTC).date().isoformat()
        tried[model, way] = {"model": model, "way": way, "on": today, **answer(model, way)}
        RESULTS.write_text("".join(json.dumps(one) + "\n" for one in (header, *tried.values())))
    for way in {**WAYS, **MORE}:
        print(way, dict(collections.Counter(one["is"] for one in tried.values() if one["way"] == way)))
    print(f"{len(tried)} of {len(pairs)}")


def deepspeed() -> dict[str, str]:
    """Its version, which is an extra that may be missing."""
    try:
        return {"deepspeed": importlib.metadata.version("deepspeed")}
    except importlib.metadata.PackageNotFoundError:
        return {}


def kinds() -> tuple[list[str], list[str]]:
    """The smallest bundled model of each architecture, and the others; the smaller first of both."""
    by_size = sorted(model_ids(), key=lambda model: load_bundled(model).num_parameters)
    first: dict[str, str] = {}
    for model in by_size:
        first.setdefault(str(bundled_config(model).get("model_type")), model)
    smallest = list(first.values())
    return smallest, [model for model in by_size if model not in smallest]


if __name__ == "__main__":
    main()
