"""Published measurements as questions to the simulator: what was run, what was read off, and what is not known.

Each function turns one record of a file in ``data/truth`` into a `Question`: the settings of the run, the figures to
compare, and notes on anything that differs from the installed libraries or was not published. A setting that the
record leaves open is chosen for a reason that is written down, never because it fits better.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from inspector.units import GiB, MiB
from inspector.validation.generation_runs import qwen_speed
from inspector.validation.published_run import Figure, Question, Record, versions_of

if TYPE_CHECKING:
    from collections.abc import Callable

EFFECTIVE_LENGTH = 226
"""Tokens in a padded row of PEFT's benchmark, the same for every record of it.

The mean sample has 209.9 tokens and an end token; rows of four are padded to the longest, and batches are bucketed by
length, which leaves a few per cent of padding. The lengths themselves were not published.
"""


def questions(file: str = "") -> tuple[Question, ...]:
    """Every published step, or those of one file (its name without ``.json``)."""
    return tuple(make(record) for name, make in MAKERS.items() if not file or name == file for record in _records(name))


@cache
def _records(name: str) -> tuple[Record, ...]:
    text = (files("inspector") / "data" / "truth" / f"{name}.json").read_text(encoding="utf-8")
    return tuple(json.loads(text))


def _at_least(record: Record, library: str, version: tuple[int, int]) -> bool:
    said = record["versions"].get(library)
    return bool(said) and tuple(int(part) for part in said.split(".")[:2]) >= version


def _figures(record: Record, unit: int, **names: str) -> tuple[Figure, ...]:
    return tuple(Figure(of, round(record[key] * unit)) for of, key in names.items() if record.get(key) is not None)


def t4_loop(record: Record) -> Question:
    """A plain transformers and PEFT loop on a T4, each stage's peak of a steady step."""
    eager = record["attn"] == "eager"
    notes = ["what loading leaves between quantized weights varies by some MiB from run to run"]
    return Question(
        file="t4_transformers_peft_loop",
        id=str(record["id"]),
        model=record["model"],
        method=record["method"],
        config=f"{record['micro_batch']}x{record['seq_len']} {'eager' if eager else 'sdpa'}",
        gpu="T4",
        settings={
            "method": record["method"], "dtype": "float16", "r": record["r"], "alpha": record["lora_alpha"],
            "target_modules": record["target_modules"], "batch_size": record["micro_batch"],
            "seq_len": record["seq_len"], "attention": "eager" if eager else "sdpa",
            "sdpa_backend": "" if eager else "efficient", "optimizer": "adamw_torch", "use_cache": False,
            "outputs": "step", "zero_grad": "before", "labels": "shared",
            "clear_cache": _at_least(record, "peft", (0, 20)),
        },
        figures=_figures(
            record, MiB, forward="peak_forward_mib", backward="peak_backward_mib", optimizer="peak_optimizer_mib",
            peak="peak", reserved="peak_reserved_mib",
        ),
        versions=versions_of(record),
        notes=tuple(notes) if record["method"] == "qlora" else (),
        source=record["source"],
    )  # fmt: skip


def rtx4080(record: Record) -> Question:
    """A plain loop on an RTX 4080, peaks since before loading."""
    quantized = record["method"] == "qlora"
    known = bool(record["versions"].get("transformers"))
    note = (
        "run before the tool's loop used autocast: its runner has none at commits f841e52 and cda809c, and has it at "
        "94a2322; the first forward's float32 logits say the same"
    )
    return Question(
        file="rtx4080_qlora",
        id=str(record["id"]),
        model=record["model"],
        method=record["method"],
        config=f"{record['micro_batch']}x{record['seq_len']} {record['optimizer']}",
        gpu="RTX 4080",
        settings={
            "method": record["method"], "dtype": "bfloat16", "double_quant": quantized, "r": record["r"],
            "alpha": record["lora_alpha"], "target_modules": record["target_modules"],
            "batch_size": record["micro_batch"], "seq_len": record["seq_len"], "padding_mask": True,
            "optimizer": "paged_adamw_8bit" if "paged" in record["optimizer"] else "adamw_torch",
            "autocast": "bf16" if known else "none", "use_cache": False, "outputs": "next", "zero_grad": "after",
            "labels": "shared", "steps": 3,
        },
        figures=_figures(
            record, GiB, load="after_lora_allocated_gib", first_forward="after_first_forward_allocated_gib",
            steady="final_allocated_gib", run_peak="peak", run_reserved="peak_reserved_gib",
        ),
        versions=versions_of(record),
        notes=() if known else (note,),
        source=record["source"],
    )  # fmt: skip


def a100(record: Record) -> Question:
    """SFTTrainer on an A100 with FlashAttention-2 and packed rows; peaks of the whole training."""
    quantized = "bnb" in record["quantization"]
    baseline = record["framework_config"].startswith("baseline")
    amp = record["amp"]["bf16"] is not None
    full = record["method"] == "full"
    adapters: dict[str, Any] = {} if full else {
        "r": int(record["r"]), "alpha": int(record["lora_alpha"]), "dropout": record["lora_dropout"],
        "target_modules": record["target_modules"].split(),
    }  # fmt: skip
    if quantized:
        adapters.update(double_quant=True, prepare_kbit=baseline, trl_casting=baseline)
    older = not _at_least(record, "transformers", (4, 46))
    return Question(
        file="a100_sfttrainer",
        id=str(record["id"]),
        model=record["model"].replace("NousResearch/Llama-2-70b-hf", "meta-llama/Llama-2-70b-hf"),
        method="full" if full else "qlora" if quantized else "lora",
        config=f"{int(record['micro_batch'])}x{record['seq_len']} {record['framework_config']}",
        gpu="A100-80GB",
        settings={
            "method": "full" if full else "qlora" if quantized else "lora", "dtype": "bfloat16",
            "batch_size": int(record["micro_batch"]), "seq_len": record["seq_len"], "optimizer": "adamw_torch",
            "autocast": "bf16" if amp else "none", "outputs_fp32": amp, "attention": "flash_attention_2",
            "loss": "upcast" if older else "shifted", "outputs": "loss", "zero_grad": "after", "reentrant": True,
            "labels": "clone", "grad_clip": 1.0, "use_cache": False, **adapters,
        },
        figures=(
            *_figures(record, 1, peak="peak", steady="after_init_plus_train_allocated_bytes"),
            *_figures(record, MiB, process="nvidia_smi_mib"),
        ),
        versions=versions_of(record),
        notes=("transformers of that time copied the logits once more for the loss: simulated so",),
        skipped=_not_now(record),
        source=record["source"],
    )  # fmt: skip


def _not_now(record: Record) -> str:
    if not record["seq_len"]:
        return "the lengths were not published"
    if "GPTQ" in record["model"]:
        return "GPTQ weights are not simulated"
    if "Mixtral" in record["model"]:
        return "its experts were quantized layers then; transformers now fuses them and leaves them unquantized"
    return ""


NOT_SIMULATED = {
    "ADALORA": "its rank allocator's own tensors, made after each step, are not simulated",
    "OSF": "it decomposes the base weights, which are data",
    "BONE": "PEFT has removed this method",
    "BDLORA": "PEFT has removed this method",
    "OFT": "PEFT no longer accepts this config",
    "FROD": "its initial values read the weights",
    "TINYLORA": "its initial values read the weights",
    "VBLORA": "its forward looks at the values of its logits",
    "WAVEFT": "its frequencies are chosen from data",
}


def l40s(record: Record) -> Question:
    """PEFT's own benchmark on an L40S: allocated and reserved after a step."""
    train, memory, kind = record["train_config"], record["memory_bytes"], record["kind"]
    era_b = record["code_era"].startswith("B")
    measured = [Figure("steady", round(memory["allocated_after_step_avg"]))]
    notes = [f"padded rows taken as {EFFECTIVE_LENGTH} tokens"]
    if era_b:
        notes.append("reserved not compared: the highest of up to ten batches, whose lengths are not known")
    else:
        measured.append(Figure("step_reserved", round(memory["reserved_after_step_avg"])))
    adam = train["optimizer_type"] == "AdamW"
    skipped = NOT_SIMULATED.get(kind, "" if adam else f"the optimizer {train['optimizer_type']} is not simulated")
    settings = {
        "method": "lora", "dtype": "bfloat16", "batch_size": train["batch_size"], "seq_len": EFFECTIVE_LENGTH,
        "padding_mask": True, "gradient_checkpointing": False, "optimizer": "adamw_torch", "grad_clip": 1.0,
        "outputs": "next", "labels": "clone", "empty_cache_every": 10 if era_b else 1, "steps": 3,
        **(_lora(record["peft_config"]) if kind == "LORA" else {"peft_config": _flat(record["peft_config"])}),
    }  # fmt: skip
    return Question(
        file="l40s_peft_benchmark",
        id=record["experiment"] + (" (B)" if era_b else ""),
        model=record["base_model"],
        method=kind.lower(),
        config=f"{train['batch_size']}x{EFFECTIVE_LENGTH}",
        gpu="L40S",
        settings={} if skipped else settings,
        figures=tuple(measured),
        versions=versions_of(record),
        notes=tuple(notes),
        skipped=skipped,
        source=record["source"],
    )


def _lora(peft: Record) -> dict[str, Any]:
    return {
        "r": peft["r"], "alpha": int(peft["lora_alpha"]), "target_modules": peft["target_modules"],
        "use_rslora": bool(peft.get("use_rslora")), "use_dora": bool(peft.get("use_dora")),
        "dropout": peft.get("lora_dropout") or 0.0,
    }  # fmt: skip


def _flat(peft: Record) -> dict[str, Any]:
    """A PEFT config with the fields that the record keeps apart under ``other``."""
    return {**{name: value for name, value in peft.items() if name != "other"}, **peft.get("other", {})}


MAKERS: dict[str, Callable[[Record], Question]] = {
    "t4_transformers_peft_loop": t4_loop,
    "rtx4080_qlora": rtx4080,
    "a100_sfttrainer": a100,
    "l40s_peft_benchmark": l40s,
    "inference_peaks": qwen_speed,
}
