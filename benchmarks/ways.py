"""Every bundled decoder through every way of sharing a training: a dry run of its first layers, or a line why not.

Run it as ``python benchmarks/ways.py`` with the words of `sweep`; they choose models or ways. The smallest model of
each architecture comes first, so that a run stopped early has seen all of them. ``on`` is the day, ``peak`` the
heaviest rank's allocated bytes, ``ranks`` how many differ.
"""

from __future__ import annotations

import collections
import importlib.metadata
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.sweep import attempt, sweep
from inspector.config_json import layer_count
from inspector.fit.ways import finetune_anywhere
from inspector.measure.spec import cut_config
from inspector.simulate.reports.libraries import versions
from inspector.sources.bundled import bundled_config, load_bundled, model_ids

if TYPE_CHECKING:
    from benchmarks.sweep import Row

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


def answer(model: str, way: str) -> Row:
    """The heaviest rank's peak, and how many ranks differ; or why not."""

    def run() -> Row:
        config = bundled_config(model)
        fewer = min(LAYERS, getattr(layer_count(config), "count", LAYERS))
        report = finetune_anywhere(cut_config(config, fewer), **{**USUAL, **{**WAYS, **MORE}[way]})
        return {"peak": report.heaviest.peaks.allocated, "ranks": len(report.ranks)}

    return attempt(run, LONGEST)


def main() -> None:
    """Try what has not been tried, and count."""
    header = {"versions": {**versions(), **deepspeed()}, "layers": LAYERS}
    pairs = [(model, way) for models in kinds() for ways in (WAYS, MORE) for model in models for way in ways]
    rows = sweep(RESULTS, header, ("model", "way"), pairs, answer, doc=__doc__)
    for way in {**WAYS, **MORE}:
        print(way, dict(collections.Counter(row["is"] for row in rows if row["way"] == way)))


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
