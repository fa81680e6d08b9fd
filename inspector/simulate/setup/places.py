"""Where each flat word of a user lives in the typed whole: one table for each program, read in both directions.

What a word turns on or off by itself (``method``, ``prepare_kbit``, ``gradient_checkpointing``) has no place: it is
whether the part is there.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

_LOAD = {
    "dtype": "load.dtype",
    "attention": "load.attention",
    "scheme": "load.quantization.scheme",
    "double_quant": "load.quantization.double_quant",
    "compute_dtype": "load.quantization.compute_dtype",
    "via_cpu": "load.via_cpu",
}
FINETUNE: Mapping[str, str] = {
    **_LOAD,
    "clear_cache": "load.quantization.prepare.clear_cache",
    "use_cache": "load.use_cache",
    "warm_up": "load.warm_up",
    "load_threads": "load.threads",
    "r": "adapters.r",
    "alpha": "adapters.alpha",
    "dropout": "adapters.dropout",
    "target_modules": "adapters.target_modules",
    "use_dora": "adapters.use_dora",
    "use_rslora": "adapters.use_rslora",
    "modules_to_save": "adapters.modules_to_save",
    "target_parameters": "adapters.target_parameters",
    "exclude_modules": "adapters.exclude_modules",
    "layers_to_transform": "adapters.layers_to_transform",
    "layers_pattern": "adapters.layers_pattern",
    "rank_pattern": "adapters.rank_pattern",
    "alpha_pattern": "adapters.alpha_pattern",
    "trainable_token_indices": "adapters.trainable_token_indices",
    "bias": "adapters.bias",
    "adapter_dtype": "adapters.dtype",
    "peft_config": "adapters.fields",
    "batch_size": "batch.size",
    "seq_len": "batch.seq_len",
    "target_len": "batch.target_len",
    "padding_mask": "batch.padding_mask",
    "padded": "batch.padded",
    "packed": "batch.packed",
    "labels": "batch.labels",
    "optimizer": "loop.optimizer",
    "optimizer_by": "loop.optimizer_by",
    "grad_clip": "loop.grad_clip",
    "grad_accum": "loop.grad_accum",
    "steps": "loop.steps",
    "autocast": "loop.autocast",
    "loss": "loop.loss",
    "reentrant": "loop.checkpointing.reentrant",
    "outputs": "loop.outputs",
    "outputs_fp32": "loop.outputs_fp32",
    "zero_grad": "loop.zero_grad",
    "token_accuracy": "loop.token_accuracy",
    "trl_casting": "loop.trl_casting",
    "empty_cache_every": "loop.empty_cache_every",
    "sdpa_backend": "loop.sdpa_backend",
    "routing": "routing",
    "objective": "objective.kind",
    "ref_model": "objective.reference",
    "prompt_len": "objective.prompt_len",
    "logits_to_keep": "objective.logits_to_keep",
    "num_generations": "objective.num_generations",
    "steps_per_generation": "objective.steps_per_generation",
    "rollouts": "objective.rollouts",
    "vllm_memory": "objective.engine",
    "vllm_gpu_memory_utilization": "objective.engine_share",
    "vllm_max_model_length": "objective.engine_length",
    "vllm_enable_sleep_mode": "objective.engine_sleeps",
    "reward_model": "objective.reward_model",
    "teacher": "objective.teacher",
    "sync_ref_model": "objective.sync_ref_model",
    "save": "saving.what",
    "merge_on": "saving.merge_on",
    "save_only_model": "saving.only_model",
    "save_total_limit": "saving.total_limit",
    "load_best_model_at_end": "saving.load_best",
    "eval_batch": "evaluation.size",
    "eval_batches": "evaluation.batches",
    "eval_gather": "evaluation.gathered",
    "eval_accum": "evaluation.accumulation",
    "generation_max_length": "evaluation.max_length",
    "generation_num_beams": "evaluation.num_beams",
}
GENERATE: Mapping[str, str] = {
    **_LOAD,
    "batch_size": "batch_size",
    "prompt_len": "prompt_len",
    "max_new_tokens": "max_new_tokens",
    "num_beams": "num_beams",
    "cache": "cache",
    "routing": "routing",
}


def part(cls: type[T], place: str, settings: object, places: Mapping[str, str], **more: object) -> T:
    """The part of the whole that lives at a place, from flat settings; ``more`` are its own parts."""
    names = {item.name for item in fields(cls)}  # type: ignore[arg-type]
    found = {}
    for word, path in places.items():
        owner, _, name = path.rpartition(".")
        # LoRA and any other method of PEFT live in one place: each takes the words it has.
        if owner == place and name in names:
            found[name] = getattr(settings, word)
    return cls(**found, **more)


def of_no_part(word: str, setup: object) -> bool:
    """Whether a word is of an objective, an evaluation or a save that a setup has not: nothing for a page to list."""
    part, _, name = FINETUNE.get(word, "").partition(".")
    return part in {"objective", "evaluation", "saving"} and bool(name) and getattr(setup, part) is None


def flat(setup: object, places: Mapping[str, str]) -> dict[str, Any]:
    """The flat words of a whole; those of a part that is not there are left out."""
    found = {}
    for word, path in places.items():
        value: object = setup
        for name in path.split("."):
            value = getattr(value, name, None)
        if value is not None:
            found[word] = value
    return found
