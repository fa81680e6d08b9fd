"""Calculators of serving memory beside `inspector serving`, on the published vLLM logs whose model is known here.

    pip install --target RIVALS --no-deps kvfit vramscout ridgepoint
    PYTHONPATH=.:RIVALS python benchmarks/serving_rivals.py

writes ``benchmarks/results/serving_rivals.md``. Each is asked through its own functions, with the model's real config
and parameter count, the card's printed bytes, the share and the width of the log; what it has no word for it is not
told, and what it refuses is named. Nothing is looked up on the hub.
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any

from inspector.units import GiB
from inspector.validation.serving_ledger import lines_of
from inspector.validation.serving_records import Log, logs

if TYPE_CHECKING:
    from collections.abc import Callable

RESULT = Path(__file__).parent / "results" / "serving_rivals.md"
FIGURES = ("kv_bytes_per_token", "weights", "pool")
CONTEXT = 16384
PACKED = {"awq": "int4", "w4a16": "int4", "bitsandbytes": "int4", "w8a8": "int8", "fbgemm_fp8": "fp8",
          "nvfp4": "nvfp4", "fp8": "fp8", "mxfp4": "int4"}  # fmt: skip
"""vLLM's words of how weights are packed, by the calculators'."""


def kvfit(log: Log) -> dict[str, float]:
    """The cache of a sequence alone, shared out among the heads of keys and values."""
    from kvfit import estimate_cache

    found = estimate_cache(_config(log), context_tokens=CONTEXT, kv_bytes=_kept(log))
    return {"kv_bytes_per_token": found.total_bytes / CONTEXT / min(_width(log), max(found.kv_parallel_heads, 1))}


def vramscout(log: Log) -> dict[str, float]:
    """State, weights and what is left of the budget on a rank."""
    from vramscout import modern_v06, plan_modern

    if log.source is None:
        return {}
    parameters = log.source.skeleton.num_parameters
    modern_v06._selected_hub_metadata = lambda *_: (parameters, None)  # it takes them from the hub
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(_config(log)))
        total = log.card.usable_bytes / GiB if log.card else 80.0
        plan = plan_modern(
            folder, context=CONTEXT, weight_dtype=_packed(log) or "bf16", kv_dtype="fp8" if _kept(log) == 1 else "bf16",
            tp=_width(log), vram_gib=total, engine="vllm",
            gpu_memory_utilization=log.record.get("gpu_memory_utilization") or 0.9,
            prefill_chunk=log.options.get("max_num_batched_tokens") or 8192,
        )  # fmt: skip
    fixed = ("Model weights / rank", "CUDA / runtime", "Prefill scratch", "Safety reserve")
    state = sum(size for name, size in plan.parts_gib.items() if name not in fixed)
    left = plan.memory_budget_gib - sum(plan.parts_gib.get(name, 0.0) for name in fixed)
    return {
        "kv_bytes_per_token": state * GiB / CONTEXT, "weights": plan.parts_gib[fixed[0]] * GiB, "pool": left * GiB,
    }  # fmt: skip


def ridgepoint(log: Log) -> dict[str, float]:
    """Its pool is of its own share, 0.9, and of cards that it has by name: other logs it is not asked about."""
    from ridgepoint import _core

    if log.source is None or _width(log) > 1:
        return {}
    config = _config(log)
    text = config.get("text_config") or config
    heads = int(text["num_attention_heads"])
    kept = int(text.get("num_key_value_heads") or heads)
    wide = int(text.get("head_dim") or int(text["hidden_size"]) // heads)
    latent = int(text.get("kv_lora_rank") or 0)
    kind = "mla" if latent else "mha" if kept == heads else "gqa"
    card = _of_ridgepoint(log)
    parameters = log.source.skeleton.num_parameters
    layers = int(text["num_hidden_layers"])
    packed = {"int4": "awq", "int8": "int8", "fp8": "fp8"}.get(_packed(log), "fp16")
    answer = json.loads(_core.fit_shape(
        log.source.name, layers, layers, int(text["hidden_size"]), parameters, parameters, kind, wide, heads, kept,
        latent, int(text.get("qk_rope_head_dim") or 0), card or "h100-80gb", 1, "vllm", packed,
        "fp8" if _kept(log) == 1 else "fp16", CONTEXT, 2048, True,
    ))  # fmt: skip
    found = {
        "kv_bytes_per_token": answer["capacity"]["bytes_per_seq"] / CONTEXT,
        "weights": float(answer["memory"]["weights_bytes"]["best"]),
    }
    if card and log.record.get("gpu_memory_utilization") == 0.9:
        found["pool"] = float(answer["memory"]["kv_pool_bytes"]["best"])
    return found


RIVALS: dict[str, Callable[[Log], dict[str, float]]] = {
    "kvfit": kvfit,
    "vramscout": vramscout,
    "ridgepoint": ridgepoint,
}


def _config(log: Log) -> dict[str, Any]:
    return dict(log.source.runnable) if log.source else {}


def _kept(log: Log) -> float:
    return 1.0 if str(log.options.get("kv_cache_dtype", "auto")).startswith("fp8") else 2.0


def _width(log: Log) -> int:
    return int(log.record.get("tensor_parallel") or 1)


def _packed(log: Log) -> str:
    said = str(log.options.get("quantization") or "")
    published = str((_config(log).get("quantization_config") or {}).get("quant_method") or "")
    return next((PACKED[word] for word in (said, published) if word in PACKED), "")


def _of_ridgepoint(log: Log) -> str:
    name = str(log.record.get("card"))
    names = {"H100 80": "h100-80gb", "A100 80": "a100-80gb", "A100 40": "a100-40gb", "RTX 4090": "rtx4090-24gb",
             "RTX 3090": "rtx3090-24gb", "H200": "h200-141gb", "L40S": "l40s-48gb"}  # fmt: skip
    return next((theirs for ours, theirs in names.items() if name.startswith(ours)), "")


def table() -> str:
    """The errors of each, figure by figure, beside ours on the same logs."""
    rows = []
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    refused: dict[str, list[str]] = {name: [] for name in RIVALS}
    for log in logs("serving_vllm"):
        if log.source is None:
            continue
        ours = {line.figure: line for line in lines_of(log) if line.figure in FIGURES}
        if not ours:
            continue
        for name, ask in RIVALS.items():
            try:
                said = ask(log)
            except Exception as error:  # noqa: BLE001 -- whatever a tool raises is its answer
                refused[name].append(f"{log.id}: {type(error).__name__}: {str(error)[:80]}")
                continue
            for figure, line in ours.items():
                if said.get(figure) is not None:
                    found.setdefault((figure, name), []).append((said[figure] / line.printed - 1, line.error))
    for (figure, name), errors in sorted(found.items()):
        theirs, own = ([abs(pair[side]) for pair in errors] for side in (0, 1))
        worst = max((pair[0] for pair in errors), key=abs)
        rows.append(
            f"| {figure} | {name} | {len(errors)} | {mean(theirs):.2%} | {median(theirs):.2%} | {worst:+.1%} | "
            f"{mean(own):.2%}, {max(own):.2%} |"
        )
    missed = [f"- {name}, not answered: {'; '.join(which)}" for name, which in refused.items() if which]
    return "\n".join((*_HEAD, *rows, "", *missed)) + "\n"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "?"


_HEAD = (
    "# Calculators of serving memory on vLLM's own logs", "",
    f"inspector beside {', '.join(f'{name}=={_version(name)}' for name in RIVALS)}; {dt.date.today()}.", "",  # noqa: DTZ011
    "Of the published logs whose model is bundled; each calculator with the model's real config and parameter count,",
    "the card's printed bytes and the options that it has. `pool` is the cache of the command line alone. kvfit says",
    "the cache of a sequence, and no engine's pool; ridgepoint's is of a share of 0.9 on one card that it names.", "",
    "| figure | tool | logs | mean error | median | worst | ours on the same logs: mean, worst |",
    "|---|---|---|---|---|---|---|",
)  # fmt: skip


if __name__ == "__main__":
    RESULT.write_text(table(), encoding="utf-8")
    print(RESULT.read_text(encoding="utf-8"))
