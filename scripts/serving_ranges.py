"""Write ``inspector/data/serving/ranges.json``: what engines' logs say of memory that no shape tells."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import median
from typing import Any

from inspector.serving.activation import forward_bytes
from inspector.validation.serving_models import model_of

DATA = Path(__file__).parent.parent / "inspector" / "data"
ENTRIES = ("sampler_v1", 14.53, 14.60, 14.65, 4), ("sampler_v2", 6.70, 6.77, 6.78, 3)
"""Bytes a row and entry of the vocabulary that vLLM's own profile run took on shapes, by its runner."""
META = "vLLM 0.33's own GPUModelRunner.profile_run on meta tensors, H100, 8192 tokens, 1024 rows"


def ranges() -> dict[str, Any]:
    """Every range, in the order of their names."""
    logs = json.loads((DATA / "truth" / "serving_vllm.json").read_text(encoding="utf-8"))
    cuda = [row for row in logs if "rocm" not in str(row["card"]).lower() and "Intel" not in str(row["card"])]
    found = {
        "sampler_v0": _row(sampler_entries(logs), "V0 logs where the sampler's rows are the peak"),
        "non_torch_one_bytes": _row(_figures(cuda, "non_torch", one=True), "vLLM logs of one CUDA card"),
        "non_torch_several_bytes": _row(_figures(cuda, "non_torch", one=False), "vLLM logs of several CUDA cards"),
        "graphs_bytes_a_layer": _row(_graphs(cuda), "graph memory that vLLM V1 printed, a layer"),
        "vision_peak_bytes": _row(_vision(logs), "activation peaks of vision models in vLLM logs"),
    }
    for name, low, middle, high, count in ENTRIES:
        found[name] = {"low": low, "median": middle, "high": high, "logs": count, "source": META}
    return {"about": "made by scripts/serving_ranges.py of data/truth/serving_vllm.json", "ranges": found}


def sampler_entries(logs: list[dict[str, Any]]) -> list[float]:
    """Bytes a row and entry where a V0 peak is the sampler's: text, no adapters, a forward that takes less."""
    found = []
    for row in logs:
        if "act" not in row["figures"] or "V0" not in row["version"] or row["tensor_parallel"] > 2:
            continue
        model = model_of(row)
        if model is None or re.search(r"LoRA|VL", row["model"]) or row["max_num_seqs"] not in {None, 256}:
            continue
        length = row["max_model_len"] or 2048
        peak = row["figures"]["act"]["bytes"]
        if forward_bytes(model.skeleton.facts, max(length, 2048), row["tensor_parallel"]) < 0.7 * peak:
            found.append(peak / 256 / model.skeleton.facts.vocab_size)
    return found


def _figures(logs: list[dict[str, Any]], name: str, *, one: bool) -> list[float]:
    rows = [row for row in logs if (row["tensor_parallel"] * row["pipeline_parallel"] == 1) == one]
    return [row["figures"][name]["bytes"] for row in rows if name in row["figures"]]


def _graphs(logs: list[dict[str, Any]]) -> list[float]:
    """Graphs are captured layer by layer; a negative figure is of memory that something else gave back meanwhile."""
    found = []
    for row in logs:
        printed = row["figures"].get("graph", {}).get("bytes", 0)
        if printed > 0 and "V0" not in str(row["version"]) and (model := model_of(row)) is not None:
            found.append(printed / model.skeleton.facts.num_layers)
    return found


def _vision(logs: list[dict[str, Any]]) -> list[float]:
    rows = [row for row in logs if re.search(r"VL", row["model"]) and "act" in row["figures"]]
    return [row["figures"]["act"]["bytes"] for row in rows]


def _row(figures: list[float], source: str) -> dict[str, Any]:
    low, middle, high = (round(value, 2) for value in (min(figures), median(figures), max(figures)))
    return {"low": low, "median": middle, "high": high, "logs": len(figures), "source": source}


if __name__ == "__main__":
    place = DATA / "serving" / "ranges.json"
    place.write_text(json.dumps(ranges(), indent=1) + "\n", encoding="utf-8")
