"""Runs inside the rivals' own environment: jobs as JSON on stdin, their predictions in bytes as JSON on stdout.

Uses only what the tools document: fitcheck's ``fetch_model_config``, ``estimate`` and ``estimate_inference``;
canifinetune's ``EstimateRequest`` and ``estimate``. A refusal is given back in the tool's own words.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys

MIB = 2**20


def fitcheck(model: str, options: dict) -> dict[str, int]:
    """Tensors (compared with allocated), the total without its context (reserved), and the total (process)."""
    import fitcheck as tool
    from fitcheck.overhead_db import get_overhead_profile

    card = options.pop("card")
    spec = tool.get_gpu(card.get("gpu"), card.get("vram_mib"))
    config = tool.fetch_model_config(model)
    if options.pop("serving", False):
        report = tool.estimate_inference(config, tool.ServingConfig(**options), spec)
        flash, quantization = False, "none"
    else:
        report = tool.estimate(config, tool.TrainingConfig(**options), spec)
        flash, quantization = options["flash_attn"], options["quantization"]
    context = get_overhead_profile(card.get("gpu"), flash, quantization).base_context_mib
    tensors, total = report.total_mib - report.overhead_mib, report.total_mib
    return {
        "allocated": round(tensors * MIB),
        "reserved": round((total - context) * MIB),
        "process": round(total * MIB),
    }


def canifinetune(model: str, options: dict) -> dict[str, int]:
    """The sum of the parts (allocated), with its overhead (reserved, what it says it predicts), with its margin."""
    from canifinetune.estimator import EstimateRequest, estimate

    memory = estimate(EstimateRequest(model_id=model, **options)).memory
    reserved = memory.total_estimated_gb - memory.safety_margin_gb
    gib = {
        "allocated": reserved - memory.cuda_overhead_gb,
        "reserved": reserved,
        "reserved, with its margin": memory.total_estimated_gb,
    }
    return {name: round(value * 2**30) for name, value in gib.items()}


TOOLS = {"fitcheck-llm": fitcheck, "canifinetune": canifinetune}


def answer(job: dict) -> dict:
    """One job's answer; the tools' own chatter stays off stdout. Both tools refuse with a ValueError."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return TOOLS[job["tool"]](job["model"], dict(job["options"]))
    except ValueError as error:
        return {"refused": " ".join(str(error).split())}


def main() -> None:
    """Answer every job."""
    json.dump([answer(job) for job in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
