"""DeepSpeed's JSON, its ``auto`` filled as transformers fills it, and contradictions refused as the libraries refuse.

Sources: deepspeed/runtime/config.py and zero/config.py (0.18), transformers/integrations/deepspeed.py
(``trainer_config_process`` and ``trainer_config_finalize``, 5.23).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.simulate.setup.readers.says import FileSays, as_bool, as_count, section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.simulate.setup.readers.config_file import ConfigFile

ZERO = "zero_optimization"
_KNOWN = frozenset({
    ZERO, "train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping",
    "fp16", "bf16", "optimizer", "scheduler", "steps_per_print", "wall_clock_breakdown", "communication_data_type",
    "zero_allow_untested_optimizer", "zero_force_ds_cpu_optimizer", "prescale_gradients", "gradient_predivide_factor",
    "memory_breakdown", "dump_state", "sparse_gradients", "zero_optimization", "flops_profiler", "tensorboard", "wandb",
    "csv_monitor", "comms_logger", "checkpoint", "elasticity", "seed", "disable_allgather",
})  # fmt: skip
_ZERO_KNOWN = frozenset({
    "stage", "contiguous_gradients", "reduce_scatter", "reduce_bucket_size", "use_multi_rank_bucket_allreduce",
    "allgather_partitions", "allgather_bucket_size", "overlap_comm", "load_from_fp32_weights", "elastic_checkpoint",
    "offload_param", "offload_optimizer", "sub_group_size", "cpu_offload", "cpu_offload_params",
    "cpu_offload_use_pin_memory", "stage3_prefetch_bucket_size", "stage3_param_persistence_threshold",
    "stage3_model_persistence_threshold", "stage3_max_live_parameters", "stage3_max_reuse_distance",
    "stage3_gather_16bit_weights_on_model_save", "stage3_gather_fp16_weights_on_model_save", "ignore_unused_parameters",
    "round_robin_gradients", "zero_hpz_partition_size", "zero_quantized_weights", "zero_quantized_gradients",
    "mics_shard_size", "mics_hierarchical_params_gather", "memory_efficient_linear", "module_granularity_threshold",
    "legacy_stage1", "pipeline_loading_checkpoint", "override_module_apply", "stage3_use_all_reduce_for_fetch_params",
})  # fmt: skip
_OPTIMIZERS = {"adam": "adamw_torch", "adamw": "adamw_torch", "adagrad": "adagrad"}
BUCKETS = {"reduce_bucket_size": 5 * 10**8, "allgather_bucket_size": 5 * 10**8,
           "stage3_prefetch_bucket_size": 5 * 10**7, "stage3_param_persistence_threshold": 10**5,
           "stage3_max_live_parameters": 10**9, "stage3_max_reuse_distance": 10**9,
           "sub_group_size": 10**9}  # fmt: skip
"""DeepSpeed's own numbers, in elements (zero/config.py, ``DeepSpeedZeroConfig``)."""


def is_deepspeed(file: ConfigFile) -> bool:
    """Whether a file is a DeepSpeed config."""
    return bool({ZERO, "train_micro_batch_size_per_gpu", "train_batch_size"} & set(file.data)) or any(
        isinstance(file.data.get(key), dict) and "enabled" in file.data[key] for key in ("fp16", "bf16")
    )


def read_deepspeed(file: ConfigFile) -> FileSays:
    """What the file sets. Raises InspectorError for what DeepSpeed refuses, and for what no dry run is of."""
    zero = section(file, ZERO)
    stage = as_count(file, zero.get("stage", 0), ZERO, "stage", least=0)
    if stage > 3:
        raise InspectorError(f"{file.at(ZERO, 'stage')}: there are the ZeRO stages 0 to 3, no {stage}")
    fields: dict[str, Any] = {"offload": _offload(file, zero, stage)}
    at = {"offload": file.at(ZERO)}
    settings: dict[str, Any] = {}
    for key, name in (
        ("train_micro_batch_size_per_gpu", "batch_size"), ("gradient_accumulation_steps", "grad_accum"),
    ):  # fmt: skip
        if file.data.get(key) not in (None, "auto"):
            settings[name], at[name] = as_count(file, file.data[key], key), file.at(key)
    clip = file.data.get("gradient_clipping")
    if clip not in (None, "auto"):
        if isinstance(clip, bool) or not isinstance(clip, (int, float)) or not 0 <= clip < 1e30:
            raise InspectorError(f"{file.at('gradient_clipping')}: gradient_clipping is a number, not {clip!r}")
        settings["grad_clip"], at["grad_clip"] = float(clip), file.at("gradient_clipping")
    notes = _not_understood(file, zero)
    if kind := section(file, "optimizer").get("type"):
        if known := _OPTIMIZERS.get(str(kind).lower()):
            settings["optimizer"], at["optimizer"] = known, file.at("optimizer", "type")
        else:
            notes.append(f"{file.at('optimizer', 'type')}: DeepSpeed's {kind} is not simulated, the trainer's is")
    fields |= _precision(file, at)
    for name in ("reduce_bucket_size", "allgather_bucket_size", "stage3_prefetch_bucket_size"):
        if zero.get(name) not in (None, "auto"):
            as_count(file, zero[name], ZERO, name, least=0)
    words = f"zero{stage}" if stage else "ddp"
    return FileSays("deepspeed", file.name, words, None, None, fields if stage else {}, settings, at,
                    deepspeed=file.data, not_understood=tuple(notes))  # fmt: skip


def _offload(file: ConfigFile, zero: Mapping[str, Any], stage: int) -> str:
    devices = {}
    for part in ("offload_param", "offload_optimizer"):
        said = section(file, ZERO, part).get("device", "none")
        devices[part] = str(said).lower() if said is not None else "none"
        if devices[part] not in {"none", "cpu", "nvme"}:
            raise InspectorError(f"{file.at(ZERO, part, 'device')}: device is none, cpu or nvme, not {said!r}")
    # Its older word, which DeepSpeed still takes (``cpu_offload``, deprecated).
    if zero.get("cpu_offload") is True:
        devices["offload_optimizer"] = "cpu"
    if zero.get("cpu_offload_params") is True:
        devices["offload_param"] = "cpu"
    if devices["offload_param"] != "none" and stage < 3:
        raise InspectorError(
            f"{file.at(ZERO, 'offload_param')}: offload_param is for stage 3, and the stage is {stage}"
        )
    if devices["offload_optimizer"] != "none" and not stage:
        raise InspectorError(f"{file.at(ZERO, 'offload_optimizer')}: stage 0 offloads nothing")
    if devices["offload_param"] != "none":
        return "params"
    return "optimizer" if devices["offload_optimizer"] != "none" else "none"


def _precision(file: ConfigFile, at: dict[str, str]) -> dict[str, Any]:
    """DeepSpeed's own half precision: weights in it, and float32 masters in the optimizer."""
    on = []
    for word in ("fp16", "bf16"):
        enabled = section(file, word).get("enabled", False)
        if enabled != "auto" and as_bool(file, enabled, word, "enabled"):
            on.append(word)
    if len(on) == 2:
        raise InspectorError(f"{file.at('bf16')}: bfloat16 and fp16 modes cannot be simultaneously enabled")
    if not on:
        return {}
    at["param_dtype"] = file.at(on[0])
    return {"param_dtype": {"fp16": "float16", "bf16": "bfloat16"}[on[0]]}


def _not_understood(file: ConfigFile, zero: Mapping[str, Any]) -> list[str]:
    said = [f"{file.at(key)}: {key} is not read" for key in file.data if key not in _KNOWN]
    said += [f"{file.at(ZERO, key)}: {ZERO}.{key} is not read" for key in zero if key not in _ZERO_KNOWN]
    for key in ("zero_quantized_weights", "zero_quantized_gradients"):
        if zero.get(key):
            said.append(f"{file.at(ZERO, key)}: ZeRO++'s {key} is not simulated")
    for key in ("zero_hpz_partition_size", "mics_shard_size"):
        if isinstance(zero.get(key), int) and zero[key] > 1:
            said.append(f"{file.at(ZERO, key)}: {key} is not simulated: cards hold one share each")
    return said


def filled(
    config: Mapping[str, Any], *, hidden_size: int, world_size: int, batch_size: int, grad_accum: int,
    grad_clip: float, precision: str,
) -> dict[str, Any]:  # fmt: skip
    """The config as transformers' trainer hands it to DeepSpeed: every ``auto`` that memory depends on filled.

    Args:
        config: content of the JSON.
        hidden_size: of the model: bucket sizes that are ``auto`` follow from it.
        world_size: processes.
        batch_size: sequences of a micro-batch.
        grad_accum: micro-batches of a step.
        grad_clip: largest gradient norm.
        precision: the trainer's own: ``bf16``, ``fp16`` or ``none``.

    Raises:
        InspectorError: for a number that contradicts the training, as transformers and DeepSpeed refuse it.
    """
    made = copy.deepcopy(dict(config))
    made.setdefault("gradient_accumulation_steps", 1)
    trained = {
        "train_micro_batch_size_per_gpu": batch_size,
        "gradient_accumulation_steps": grad_accum,
        "train_batch_size": batch_size * grad_accum * world_size,
        "gradient_clipping": grad_clip,
    }
    for key, value in trained.items():
        if made.get(key) == "auto":
            made[key] = value
        elif made.get(key) is not None and made[key] != value and key != "gradient_clipping":
            raise InspectorError(
                f"Please correct the following DeepSpeed config values that mismatch TrainingArguments values: - ds "
                f"{key}={made[key]} vs hf {value}",
                hint="The easiest method is to set these DeepSpeed config values to 'auto'",
            )
    for word in ("fp16", "bf16"):
        if isinstance(part := made.get(word), dict) and part.get("enabled") == "auto":
            part["enabled"] = precision == word
    zero = made.get(ZERO)
    if isinstance(zero, dict):
        sizes = {"reduce_bucket_size": hidden_size * hidden_size}
        if zero.get("stage") == 3:
            sizes |= {
                "stage3_prefetch_bucket_size": int(0.9 * hidden_size * hidden_size),
                "stage3_param_persistence_threshold": 10 * hidden_size,
            }
        for key, size in sizes.items():
            if zero.get(key) == "auto":
                zero[key] = size
    return made
