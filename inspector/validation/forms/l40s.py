"""PEFT's own benchmark: any of its methods on one model; allocated and reserved after a step, in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.simulate.allocator.settings import SMALL_SEGMENT
from inspector.validation import words
from inspector.validation.fields import NotUnderstoodError
from inspector.validation.forms.figures import described, measured
from inspector.validation.forms.training import before, loading_of, loss_of, versions_of
from inspector.validation.published_run import Question

if TYPE_CHECKING:
    from inspector.validation.fields import Fields

PADDED, MEAN = 226, 209.90255
"""Tokens in a padded row of the benchmark, and in its mean sample.

Rows of four are padded to the longest, and batches are bucketed by length, which leaves a few per cent of padding. The
lengths themselves were not published; a run on other samples is taken to be padded by the same share.
"""

ABOUT = (
    "run_created_at", "peft_commit", "num_trainable_params", "num_total_params_reported", "file_size_bytes",
    "file_size_note", "train_tokens_total", "train_samples", "form",
)  # fmt: skip
ABOUT_TRAINING = (
    "batch_size_eval", "max_steps", "eval_steps", "seed", "lr_scheduler", "warmup_step_ratio", "generation_kwargs",
    "query_template", "init_kv_cache_prefix",
)  # fmt: skip
"""Evaluation, which is between the steps that are compared; how many steps, of what rate; what a prefix begins as."""

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

_OPTIMIZERS = {"AdamW": "adamw_torch", "SGD": "sgd"}
_HARMLESS = ("lr", "weight_decay", "betas", "eps")
"""Arguments of an optimizer that change its numbers and not its tensors."""

BEFORE = SMALL_SEGMENT
"""What the benchmark takes off its figures: a first small tensor's segment. Source: PEFT's utils.py,
``init_accelerator``, and run.py, which notes what is allocated and reserved less ``accelerator_memory_init``."""

_ERAS = {"A": 1, "B": 10}
"""Steps between two ``empty_cache`` calls. Source: PEFT's run.py before and since commit 90d3fc05d."""


def read(fields: Fields) -> Question:
    """One record as a question."""
    fields.told(*ABOUT)
    versions, train = versions_of(fields), fields.part("train_config", required=True)
    model, kind = fields.text("base_model"), _kind(fields)
    _same(fields, train, model)
    every = fields.read("code_era", _era, 1, required=True)
    length, batch = _length(fields, train), train.whole("batch_size")
    settings: dict[str, Any] = {
        "method": "full" if kind == "FULL" else "lora", "batch_size": batch, "seq_len": length, "padding_mask": True,
        "gradient_checkpointing": train.flag("use_gc", default=False), "reentrant": False,
        "grad_clip": train.number("grad_norm_clip", 1.0),
        "attention": train.read("attn_implementation", words.attention, words.Attention("auto")).name,
        "autocast": "fp16" if train.flag("use_amp", default=False) else "none",  # what torch.autocast("cuda") means
        "outputs": "next", "labels": "clone", "empty_cache_every": every, "steps": 3, "loss": loss_of(versions),
        **_numbers(fields, train, kind), **_optimizer(train),
    }  # fmt: skip
    if settings["gradient_checkpointing"]:
        # What ``gradient_checkpointing_enable`` takes when nothing is said: re-entrant until transformers 5.
        settings["reentrant"] = before(versions, "transformers", 5)
    if kind != "FULL":
        settings |= _adapters(fields.part("peft_config", required=True), kind)
    if train.flag("compile", default=False):
        fields.refuse("torch.compile is not simulated")
    notes = [*described(fields), f"padded rows taken as {length} tokens"]
    figures = _figures(fields, notes, every)
    skipped = any(problem for problem in fields.findings.problems)
    return Question(
        file="",
        id=fields.text("experiment", "") + (" (B)" if every > 1 else ""),
        model=model,
        method=kind.lower(),
        config=f"{batch}x{length}",
        gpu=fields.read("gpu", words.card, "", required=True),
        settings={} if skipped else settings,
        figures=figures,
        versions=versions,
        notes=tuple(notes),
    )


def _kind(fields: Fields) -> str:
    """The PEFT method, by the record and by its config; full fine-tuning where both are null."""
    if fields.text("benchmark", "peft/method_comparison/MetaMathQA") != "peft/method_comparison/MetaMathQA":
        fields.refuse(f"benchmark {fields.text('benchmark')} is not understood")
    kind = fields.text("kind", "FULL").upper().replace("-", "_")
    if kind in NOT_SIMULATED and not (kind == "OFT" and _block_size(fields)):
        fields.refuse(NOT_SIMULATED[kind])
    return "FULL" if kind in {"FULL_FINETUNING", "FULL_FINE_TUNING"} else kind


def _block_size(fields: Fields) -> bool:
    """Whether an OFT config says its block size; beside a rank alone, PEFT now has a size of its own."""
    config = fields.values.get("peft_config")
    other = config.get("other") if isinstance(config, Mapping) else None
    return any(isinstance(part, Mapping) and bool(part.get("oft_block_size")) for part in (config, other))


def _same(fields: Fields, train: Fields, model: str) -> None:
    if train.text("model_id", model) != model:
        fields.refuse("base_model and train_config.model_id differ", wrong=True)
    train.told(*ABOUT_TRAINING)


def _era(text: str) -> int:
    if text[:1] not in _ERAS or text[1:2] not in {"", ":"}:
        raise NotUnderstoodError
    return _ERAS[text[0]]


def _length(fields: Fields, train: Fields) -> int:
    """Tokens in a padded row, cut to the longest allowed."""
    mean = fields.number("avg_tokens_per_sample", MEAN)
    longest = train.whole("max_seq_length", 768, least=2)
    # No row is longer than the tokenizer lets it be, and a loss needs two tokens.
    return max(2, min(round(PADDED * mean / MEAN), longest))


def _numbers(fields: Fields, train: Fields, kind: str) -> dict[str, Any]:
    """The dtypes of base weights and adapters. ``int4`` and ``int8`` are bitsandbytes' defaults, nothing prepared.

    Source: PEFT's method_comparison/MetaMathQA/utils.py, ``get_base_model``.
    """
    said, stored = (
        train.text("dtype", "bfloat16"),
        fields.read("quantization", words.quantization, words.Quantization()),
    )
    # transformers gives what is not quantized the model's own dtype when none is named.
    if said in {"int4", "int8"}:
        stored = words.Quantization("fp4", compute_dtype="float32") if said == "int4" else words.Quantization("int8")
    weights = "auto" if said in {"int4", "int8"} else train.read("dtype", words.dtype, "bfloat16")
    wide = train.flag("autocast_adapter_dtype", default=not fields.text("adapter_dtype", "").startswith("bfloat16"))
    if fields.text("adapter_dtype", "float32" if wide else weights).startswith("float32") != (
        wide or weights == "float32"
    ):
        fields.name_it("adapter_dtype")
    found: dict[str, Any] = {"dtype": weights}
    if kind != "FULL":
        found["adapter_dtype"] = "float32" if wide else "auto"
    if stored.scheme != "none":
        if kind == "FULL":
            fields.refuse("quantized weights are not trained in full")
        found |= {"method": "qlora", "scheme": stored.scheme, "double_quant": stored.double_quant}
        found |= {"prepare_kbit": False, "compute_dtype": stored.compute_dtype or "auto"}
        found |= loading_of(versions_of(fields))
    return found


def _optimizer(train: Fields) -> dict[str, Any]:
    """A class of ``torch.optim``; ``optimizer_kwargs`` that change its tensors are named, and the run left out."""
    kind, arguments = train.text("optimizer_type", "AdamW"), train.part("optimizer_kwargs")
    if kind not in _OPTIMIZERS:
        train.refuse(f"the optimizer {kind} is not simulated")
        arguments.told(*arguments.values)
    arguments.told(*_HARMLESS)
    for name in arguments.values:
        if name not in arguments.seen and arguments.raw(name):
            train.refuse(f"{arguments.path(name)} is not simulated")
    return {"optimizer": _OPTIMIZERS.get(kind, "adamw_torch")}


_PLAIN_LORA = {"peft_type", "r", "lora_alpha", "target_modules", "use_rslora", "use_dora", "lora_dropout", "task_type"}
_VALUES_ONLY = ("init_lora_weights", "inference_mode", "revision", "base_model_name_or_path", "auto_mapping", "bias")
"""Of a LoRA config, what only decides numbers or names; a ``bias`` that is trained is not among them."""


def _adapters(peft: Fields, kind: str) -> dict[str, Any]:
    """A PEFT config as the simulator's own LoRA settings where they say all of it, else as it is.

    What a record keeps apart under ``other`` are fields of the config like all others.
    """
    if peft.text("peft_type", kind).upper() != kind:
        peft.refuse("kind and peft_config.peft_type differ", wrong=True)
    peft.told(*peft.values)  # PEFT itself refuses a field it does not know
    other = peft.part("other")
    other.told(*other.values)
    values = {**{name: value for name, value in peft.values.items() if name != "other"}, **other.values}
    more = {name for name, value in values.items() if value and name not in _PLAIN_LORA and name not in _VALUES_ONLY}
    pattern = values.get("target_modules")
    by_pattern = isinstance(pattern, str) and pattern != "all-linear"  # a text is a regular expression to PEFT
    if kind != "LORA" or more or by_pattern or values.get("bias", "none") != "none":
        starts = {"init_lora_weights": False} if kind == "LORA" else {}  # whose values are data; their bytes are not
        return {"peft_config": {**values, "peft_type": kind, **starts}}
    return {
        "r": peft.whole("r", 8), "alpha": peft.whole("lora_alpha", 8),
        "target_modules": list(peft.names("target_modules")),
        "use_rslora": peft.flag("use_rslora", default=False), "use_dora": peft.flag("use_dora", default=False),
        "dropout": peft.number("lora_dropout", 0.0),
    }  # fmt: skip


def _figures(fields: Fields, notes: list[str], every: int) -> tuple[Any, ...]:
    """Means over the steps, with what was there before; reserved only where each emptied the cache."""
    memory = fields.part("memory_bytes", required=True)
    memory.told("max_reserved_whole_run", "reserved_after_step_p99", "reserved_after_step_avg_from_metrics")
    steady, reserved = (
        tuple(replace(figure, measured=figure.measured + BEFORE) for figure in measured(memory, name, of, 1))
        for name, of in (("allocated_after_step_avg", "steady"), ("reserved_after_step_avg", "step_reserved"))
    )
    if every == 1:
        return (*steady, *reserved)
    notes.append("reserved not compared: the highest of up to ten batches, whose lengths are not known")
    return steady
