"""What all trainers on transformers' Trainer share: the keys of ``TrainingArguments``, with its defaults by version.

Source: transformers/training_args.py of 4.46 to 5.23. ``optim`` is ``adamw_torch_fused`` by default from 5 on;
checkpointing is reentrant by default in 4 and not in 5; a batch has 8 sequences where none is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.simulate.setup.readers.config_file import ConfigFile
from inspector.simulate.setup.readers.shipped import deepspeed_named

if TYPE_CHECKING:
    from inspector.simulate.setup.readers.reading import Reading

GONE = {
    "overwrite_output_dir", "evaluation_strategy", "per_gpu_train_batch_size", "per_gpu_eval_batch_size", "no_cuda",
    "use_mps_device", "fp16_backend", "half_precision_backend", "fp16_opt_level", "save_safetensors", "past_index",
    "include_tokens_per_second", "group_by_length", "tpu_num_cores", "logging_dir", "use_legacy_prediction_loop",
    "torchdynamo", "ray_scope", "jit_mode_eval", "bf16_backend", "xpu_backend", "sharded_ddp", "push_to_hub_model_id",
    "push_to_hub_organization", "push_to_hub_token", "adafactor", "include_inputs_for_metrics", "mp_parameters",
}  # fmt: skip
"""Keys of transformers 4 that 5 has no longer: a file with one of them was written for 4."""
OLD = frozenset({"warmup_ratio", "save_on_each_node", "local_rank"})
"""Keys that 5 still takes, and that are no field of its class."""
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "none": "float32"}


def precision(reading: Reading, *, silent: str = "none") -> str:
    """``none``, ``bf16`` or ``fp16``; ``silent`` is what holds where the file says neither. Refused: both."""
    half, brain = reading.on("fp16"), reading.said("bf16")
    # TRL's own default is bf16 unless fp16 is said.
    on = (silent == "bf16" and not half) if brain is None else reading.on("bf16")
    if half and on:
        raise reading.refuse("At most one of fp16 and bf16 can be True, but not both", "fp16")
    word = "bf16" if on else "fp16" if half else "none"
    reading.put("mixed_precision", word, *(("fp16", "bf16") if half else ("bf16", "fp16")))
    return word


def batch(reading: Reading) -> None:
    """Sequences of a micro-batch, micro-batches of a step, and the batch of an evaluation where there is one."""
    size = reading.first("per_device_train_batch_size", "per_gpu_train_batch_size")
    reading.put("per_device_batch", reading.whole(size, default=8), size)
    accum = reading.whole("gradient_accumulation_steps", default=1)
    reading.put("gradient_accumulation", accum, "gradient_accumulation_steps")
    when = reading.first("eval_strategy", "evaluation_strategy")
    word = reading.text(when, default="no").lower()
    on = reading.on("do_eval") or word not in {"no", "false"}
    evaluated = reading.first("per_device_eval_batch_size", "per_gpu_eval_batch_size")
    size_of_it = reading.whole(evaluated, default=8)
    if on:
        reading.put("eval_batch", size_of_it, evaluated)
        steps = reading.whole("eval_accumulation_steps")
        reading.put("eval_accumulation", steps, "eval_accumulation_steps", why="every logit stays on the card")


def checkpointing(reading: Reading, *, silent: bool, reentrant: bool, why: str) -> None:
    """Gradient checkpointing; ``reentrant`` is what holds where the file's kwargs do not say."""
    # transformers 5.23 calls it activation_checkpointing, and takes the older name where the new one is not said.
    key = reading.first("activation_checkpointing", "gradient_checkpointing")
    enabled = reading.on(key, default=silent)
    reading.put("gradient_checkpointing.enabled", enabled, key)
    kwargs = reading.first("activation_checkpointing_kwargs", "gradient_checkpointing_kwargs")
    reading.part(kwargs)
    kind = reading.on(kwargs, "use_reentrant", default=reentrant) if enabled else None
    reading.put("gradient_checkpointing.reentrant", kind, f"{kwargs}.use_reentrant", why=why)


def optimizer(reading: Reading, *, transformers: int) -> None:
    """``optim`` by transformers' own name."""
    silent = "adamw_torch_fused" if transformers >= 5 else "adamw_torch"
    if reading.on("adafactor"):
        reading.put("optimizer", "adafactor", "adafactor")
        return
    why = "adamw_torch_fused from transformers 5 on, adamw_torch before"
    reading.put("optimizer", reading.text("optim", default=silent), "optim", why=why)
    reading.number("max_grad_norm", default=1.0)
    reading.put("max_grad_norm", reading.number("max_grad_norm", default=1.0), "max_grad_norm")
    for name in ("optim_target_modules", "optim_args"):
        reading.unread(name, why="what an optimizer is told of its own is not simulated")


def transformers_of(reading: Reading, silent: int = 5) -> int:
    """4 where the file has a key that 5 has no longer, else ``silent``."""
    return 4 if GONE & {key for key, value in reading.file.data.items() if value is not None} else silent


def saves(reading: Reading) -> None:
    """Checkpoints that stay and what is in them, where a file says so; all but ``save_total_limit`` are off."""
    if (limit := reading.whole("save_total_limit") or 0) > 0:
        reading.put("save_total_limit", limit, "save_total_limit")
    for name in ("save_only_model", "load_best_model_at_end"):
        if reading.on(name):
            reading.put(name, True, name)


def also_unread(reading: Reading) -> None:
    """Keys of the Trainer that change memory and that no dry run has."""
    saves(reading)
    reading.unread("torch_compile", why="torch.compile fuses kernels and saves other activations: not simulated")
    reading.unread("auto_find_batch_size", why="the batch is halved until it fits")
    reading.unread("label_smoothing_factor", why="the smoothed loss holds log-probabilities of all entries")
    reading.unread("neftune_noise_alpha", why="the noise on the embeddings is one more tensor of their size")
    reading.unread("predict_with_generate", why="evaluation generates, with a key-value cache")
    reading.unread("liger_kernel_config", why="which of Liger's kernels are in is not read")
    reading.unread("parallelism_config", why="tensor and sequence parallelism of the Trainer are not read")
    reading.unread("activation_offloading", why="activations kept on the host are not simulated")
    reading.unread("include_for_metrics", why="inputs or losses are kept until the evaluation ends")
    if reading.said("torch_empty_cache_steps") is not None:
        reading.put("empty_cache_every", reading.whole("torch_empty_cache_steps"), "torch_empty_cache_steps")


def launcher(reading: Reading, shipped: str, *, silent: str = "unknown", why: str) -> tuple[ConfigFile, ...]:
    """Files of DeepSpeed and accelerate that ``deepspeed`` and ``fsdp`` amount to; without them ``silent`` is told."""
    files = (*_deepspeed(reading, shipped), *_fsdp(reading))
    # A DeepSpeed file that is somewhere else is listed as not read, and here nothing is known.
    if not files and "parallel.kind" not in reading.told:
        reading.follows("parallel.kind", silent, why)
        reading.follows("parallel.offload", "none", why)
        reading.follows("num_processes", 1 if silent == "single" else None, why)
    return files


def under_zero3(files: tuple[ConfigFile, ...]) -> bool:
    """Whether one of a trainer's files of DeepSpeed shares the weights too."""
    zeros = (one.data.get("zero_optimization") for one in files)
    return any(isinstance(zero, dict) and str(zero.get("stage")) == "3" for zero in zeros)


def _deepspeed(reading: Reading, shipped: str) -> tuple[ConfigFile, ...]:
    said = reading.said("deepspeed")
    if isinstance(said, dict):
        lines = {path[1:]: line for path, line in reading.file.lines.items() if path[:1] == ("deepspeed",) and path[1:]}
        return (ConfigFile(reading.file.name, said, lines),)
    path = reading.text("deepspeed")
    if not path:
        return ()
    reading.put("parallel.config_ref", path, "deepspeed")
    if reading.file.beside is not None and (found := reading.file.beside(path)) is not None:
        return (found,)
    if (known := deepspeed_named(shipped, path)) is not None:
        reading.note("parallel", f"{path} is read as the file of that name that {shipped} ships")
        return (known,)
    reading.unread("deepspeed", why="that file is not here: give it too, --config FILE")
    reading.follows("parallel.kind", "unknown", "the DeepSpeed file decides")
    reading.follows("num_processes", None, "the launcher decides")
    return ()


def _fsdp(reading: Reading) -> tuple[ConfigFile, ...]:
    """``fsdp`` and ``fsdp_config`` of the Trainer, as a file of accelerate says them (``_process_fsdp_args``)."""
    said = reading.said("fsdp")
    if isinstance(reading.said("fsdp_config"), str):
        reading.unread("fsdp_config", why="that file is not here")
        return ()
    config = reading.part("fsdp_config")
    words = said.split() if isinstance(said, str) else said if isinstance(said, list) else []
    words = [str(word).lower() for word in words if str(word).lower() not in {"false", ""}]
    if not (words or said is True):
        return ()
    fields: dict[str, Any] = {f"fsdp_{key.removeprefix('fsdp_')}": value for key, value in config.items()}
    # Version 1 is what transformers 4 and accelerate take where none is said, 2 transformers from 5.10 on.
    version = str(fields.setdefault("fsdp_version", 1 if words else 2))
    for word in words:
        if word in {"full_shard", "shard_grad_op", "no_shard", "hybrid_shard", "hybrid_shard_zero2"}:
            if version == "1":
                fields.setdefault("fsdp_sharding_strategy", word.upper())
            else:
                fields.setdefault("fsdp_reshard_after_forward", word == "full_shard")
        elif word == "offload":
            fields.setdefault("fsdp_offload_params", True)
        elif word == "auto_wrap":
            fields.setdefault("fsdp_auto_wrap_policy", "TRANSFORMER_BASED_WRAP")
    if "fsdp_cpu_offload" in fields:
        fields["fsdp_offload_params"] = fields.pop("fsdp_cpu_offload")
    return (as_accelerate(reading, fields),)


def as_accelerate(reading: Reading, fields: dict[str, Any]) -> ConfigFile:
    """FSDP's section of a trainer's file as a file of accelerate, with the lines it stands in."""
    data = {"distributed_type": "FSDP", "fsdp_config": fields}
    lines: dict[tuple[str, ...], int] = {}
    for path, line in reading.file.lines.items():
        if path == ("fsdp_config",) or (path == ("fsdp",) and ("fsdp_config",) not in lines):
            lines[("fsdp_config",)] = lines[("distributed_type",)] = line
        elif path[:1] == ("fsdp_config",) and len(path) == 2:
            lines[("fsdp_config", f"fsdp_{path[1].removeprefix('fsdp_')}")] = line
    return ConfigFile(reading.file.name, data, lines)
