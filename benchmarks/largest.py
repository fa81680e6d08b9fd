"""The largest models that are bundled on 64 and 512 cards: the first rank, 4,096 tokens, trained in full in bfloat16.

Run it as ``python benchmarks/largest.py [WORD ...]``: words choose models or ways that contain one of them. What has
been tried with these libraries stands in the file of results and is not tried again, so that a run may be stopped and
taken up. ``on`` is the day; ``allocated``, ``reserved`` and ``process`` are of the rank's card, ``host`` of one
machine, all in bytes; ``units`` how many are gathered as one, ``gathered`` the largest of them; ``seconds`` of the
processor.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from inspector.errors import InspectorError
from inspector.fit.ways import finetune_anywhere
from inspector.simulate.reports.libraries import versions
from inspector.sources.bundled import bundled_config

RESULTS = Path(__file__).parent / "results" / "largest.jsonl"
MODELS = {
    "deepseek-ai/DeepSeek-V3": ("fsdp2", "ep:8+fsdp2"),
    "moonshotai/Kimi-K2-Instruct": ("fsdp2", "ep:8+fsdp2"),
    "meta-llama/Llama-3.1-405B": ("fsdp2", "tp:8+fsdp2", "cp:8+fsdp2"),
}
NODES = (8, 64)
EACH = 8
"""Cards of one machine."""
GPU = "H200"


def answer(model: str, way: str, nodes: int) -> dict[str, Any]:
    """The first rank of a run, or the line that refuses it."""
    # As it trains: a checkpoint in FP8 is no weight that anybody trains in full.
    config = {name: value for name, value in bundled_config(model).items() if name != "quantization_config"}
    config["torch_dtype"] = "bfloat16"
    asked: dict[str, Any] = {"method": "full", "gpu": GPU, "seq_len": 4096, "batch_size": 1, "rank": "first"}
    began = sum(os.times()[:4])
    try:
        report = finetune_anywhere(config, parallel=way, gpus=nodes * EACH, nodes=nodes, **asked)
    except InspectorError as error:
        return {"is": "refuses", "said": str(error)}
    peaks, units = report.heaviest.peaks, report.heaviest.units
    return {
        "is": "answers", "verdict": report.verdict, "allocated": peaks.allocated, "reserved": peaks.reserved,
        "process": peaks.process, "after": report.heaviest.after_training_allocated_bytes,
        "host": report.host_bytes_per_node, "units": len(units), "gathered": report.heaviest.gathered_bytes,
        "seconds": round(sum(os.times()[:4]) - began, 1),
    }  # fmt: skip


def main() -> None:
    """Try what has not been tried, and print it all."""
    warnings.simplefilter("ignore")
    words = sys.argv[1:]
    header = {"versions": versions(), "gpu": GPU, "seq_len": 4096}
    first, *known = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else [{}]
    tried = {(one["model"], one["way"], one["nodes"]): one for one in known} if first == header else {}
    for model, ways in MODELS.items():
        for key in ((model, way, nodes) for way in ways for nodes in NODES):
            if key in tried or (words and not any(word in text for word in words for text in key[:2])):
                continue
            today = dt.datetime.now(dt.UTC).date().isoformat()
            named = dict(zip(("model", "way", "nodes"), key, strict=True))
            tried[key] = {**named, "cards": key[2] * EACH, "on": today, **answer(*key)}
            RESULTS.write_text("".join(json.dumps(one) + "\n" for one in (header, *tried.values())))
    for one in tried.values():
        print(one["model"], one["way"], f"{one['cards']} cards", one["is"], one.get("verdict", one.get("said", "")),
              f"{one.get('process', 0) / 2**30:.1f} GiB", one.get("seconds", ""))  # fmt: skip


if __name__ == "__main__":
    main()
