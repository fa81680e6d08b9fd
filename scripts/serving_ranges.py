"""Write ``inspector/data/serving/ranges.json``: what engines' logs say of memory that no shape tells."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import median
from typing import Any

from inspector.precision.registry import scheme_named
from inspector.serving.activation import forward_bytes
from inspector.serving.sharding import Ranks
from inspector.serving.weights import rank_weights
from inspector.validation.serving_models import card_of, model_of

DATA = Path(__file__).parent.parent / "inspector" / "data"
META = "vLLM 0.33's own GPUModelRunner.profile_run on meta tensors, H100, 8192 tokens, 1024 rows"
ENTRIES = (
    ("sampler_v1", 14.53, 14.60, 14.65, 4, META),
    ("sampler_v2", 6.0, 6.05, 6.07, 4, META),
    ("sampler_bare", 2, 2, 2, 0, "logits as the model has them"),
    ("sampler_flashinfer", 14, 14, 14, 0, "logits, their copy in float32, what FlashInfer masks and its probabilities"),
)
"""Bytes a row and entry of the vocabulary that vLLM's own profile run took on shapes, by its runner: the second has the
logits and their copy in float32, beside what Triton's programs and the forward's output take. The last two are read in
v1/worker/gpu/sample/sampler.py and in flashinfer/sampling.py (``top_k_top_p_sampling_from_logits``)."""


def ranges() -> dict[str, Any]:
    """Every range, in the order of their names."""
    logs = json.loads((DATA / "truth" / "serving_vllm.json").read_text(encoding="utf-8"))
    cuda = [row for row in logs if "rocm" not in str(row["card"]).lower() and "Intel" not in str(row["card"])]
    found = {
        "sampler_v0": _sampler(logs),
        "bitsandbytes_over": _row(
            _bitsandbytes(logs), "weights that vLLM printed over those of a double-quantized nf4"
        ),
        "non_torch_one_bytes": _row(_figures(cuda, "non_torch", one=True), "vLLM logs of one CUDA card"),
        "non_torch_several_bytes": _row(_figures(cuda, "non_torch", one=False), "vLLM logs of several CUDA cards"),
        "graphs_bytes_a_layer": _row(_graphs(cuda), "graph memory that vLLM V1 printed, a layer"),
        "graphs_dense_bytes_a_layer": _row(
            [*_graphs(cuda, dense=True), *OTHERS], "graph memory that vLLM V1 printed of dense models, a layer"
        ),
        "vision_peak_bytes": _row(_vision(logs), "activation peaks of vision models in vLLM logs"),
    }
    found |= _sglang(json.loads((DATA / "truth" / "serving_sglang.json").read_text(encoding="utf-8")))
    for name, low, middle, high, count, source in ENTRIES:
        found[name] = {"low": low, "median": middle, "high": high, "logs": count, "source": source}
    return {"about": "made by scripts/serving_ranges.py of data/truth/serving_vllm.json", "ranges": found}


def _sampler(logs: list[dict[str, Any]]) -> dict[str, Any]:
    """Bytes a row and entry where a V0 peak is the sampler's, of logs that say their 256 rows."""
    found = []
    for row in logs:
        if "act" not in row["figures"] or "V0" not in row["version"] or "VL" in row["model"] or not row["max_num_seqs"]:
            continue
        model = model_of(row)
        if model is None or row["tensor_parallel"] > 2:
            continue
        peak, facts = row["figures"]["act"]["bytes"], model.skeleton.facts
        if forward_bytes(facts, max(row["max_model_len"] or 2048, 2048), row["tensor_parallel"]) < 0.7 * peak:
            found.append(peak / row["max_num_seqs"] / facts.vocab_size)
    return _row(found, "V0 logs that say their rows, where these are the peak")


def _bitsandbytes(logs: list[dict[str, Any]]) -> list[float]:
    found = []
    for row in logs:
        if row["quantization"] == "bnb-4bit" and (model := model_of(row)) is not None:
            parts = rank_weights(model.skeleton, scheme_named("nf4-dq"), model.runnable, Ranks(row["tensor_parallel"]))
            found.append(row["figures"]["weights"]["bytes"] / sum(part.nbytes for part in parts))
    return found


def _figures(logs: list[dict[str, Any]], name: str, *, one: bool) -> list[float]:
    rows = [row for row in logs if (row["tensor_parallel"] * row["pipeline_parallel"] == 1) == one]
    return [row["figures"][name]["bytes"] for row in rows if name in row["figures"]]


OTHERS = (0.52 * 2**30 / 36,)
"""Of a log that stands in a thread alone: Qwen3 8B on an RTX 4090, 51 and 35 captures (LMCache/LMCache issues/3430)."""


def _graphs(logs: list[dict[str, Any]], *, dense: bool = False) -> list[float]:
    """Graphs are captured layer by layer; a negative figure is of memory that something else gave back meanwhile."""
    found = []
    for row in logs:
        printed = row["figures"].get("graph", {}).get("bytes", 0)
        if printed > 0 and "V0" not in str(row["version"]) and (model := model_of(row)) is not None:
            if dense and model.skeleton.facts.num_experts:
                continue
            found.append(printed / model.skeleton.facts.num_layers)
    return found


def _vision(logs: list[dict[str, Any]]) -> list[float]:
    rows = [row for row in logs if re.search(r"VL", row["model"]) and "act" in row["figures"]]
    return [row["figures"]["act"]["bytes"] for row in rows]


def _sglang(logs: list[dict[str, Any]]) -> dict[str, Any]:
    """What is taken before the weights, of cards whose total is known, and what loading took beside the tensors."""
    before: dict[bool, list[float]] = {True: [], False: []}
    over: list[float] = []
    for row in logs:
        figures, card, model = row["figures"], card_of(row), model_of(row)
        if "load" not in figures or "avail_after_load" not in figures:
            continue
        if card is not None and not card.unified:
            free = figures["load"]["bytes"] + figures["avail_after_load"]["bytes"]
            before[row["tensor_parallel"] == 1].append(card.usable_bytes - free)
        if model is not None and row.get("quantization") in {None, "none"} and "CPU" not in row["model"]:
            source, ranks = model, Ranks(row["tensor_parallel"])
            parts = rank_weights(source.skeleton, scheme_named("bf16"), source.runnable, ranks, segments=True)
            over.append(figures["load"]["bytes"] - sum(part.nbytes for part in parts))
    return {
        "sglang_before_one_bytes": _row(before[True], "SGLang logs of one known card: total less what was free"),
        "sglang_before_several_bytes": _row(before[False], "SGLang logs of several known cards"),
        "sglang_load_over_bytes": _row(over, "SGLang's load less the tensors"),
    }


def _row(figures: list[float], source: str) -> dict[str, Any]:
    """The middle, and bounds that hold for more than the logs they were measured on.

    Of n figures the ends are off by the n-th part of their width, were the figures spread evenly (the unbiased
    estimator of such a law's ends), so each is moved out by that much.
    """
    step = (max(figures) - min(figures)) / max(len(figures) - 1, 1)
    low, middle, high = (
        round(value, 2) for value in (max(min(figures) - step, 0), median(figures), max(figures) + step)
    )
    return {"low": low, "median": middle, "high": high, "logs": len(figures), "source": source}


if __name__ == "__main__":
    place = DATA / "serving" / "ranges.json"
    place.write_text(json.dumps(ranges(), indent=1) + "\n", encoding="utf-8")
