"""The files of ``accelerate config``, as ``accelerate launch`` reads them and the plugins of the process it starts.

Sources, accelerate 1.15: commands/config/config_args.py (``ClusterConfig``), commands/launch.py
(``_validate_launch_command``, the defaults of the parser), utils/launch.py (``prepare_multi_gpu_env``),
utils/dataclasses.py (``FullyShardedDataParallelPlugin``, ``DeepSpeedPlugin``). A test holds the two equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.simulate.setup.readers.fsdp_section import FsdpSection
from inspector.simulate.setup.readers.says import FileSays, as_bool, as_count, section

if TYPE_CHECKING:
    from inspector.simulate.setup.readers.config_file import ConfigFile

CLUSTER_KEYS = frozenset({
    "compute_environment", "distributed_type", "mixed_precision", "use_cpu", "debug", "num_processes", "machine_rank",
    "num_machines", "gpu_ids", "main_process_ip", "main_process_port", "rdzv_backend", "same_network",
    "main_training_function", "enable_cpu_affinity", "fp8_config", "deepspeed_config", "fsdp_config",
    "parallelism_config", "megatron_lm_config", "mpirun_config", "downcast_bf16", "tpu_name", "tpu_zone",
    "tpu_use_cluster", "tpu_use_sudo", "command_file", "commands", "tpu_vm", "tpu_env", "dynamo_config",
    "dynamo_backend", "fp16",
})  # fmt: skip
"""Fields of ``ClusterConfig``, and two words of older files; accelerate refuses a file with any other."""

_DEEPSPEED_KEYS = frozenset({
    "zero_stage", "gradient_accumulation_steps", "gradient_clipping", "offload_optimizer_device",
    "offload_param_device", "offload_optimizer_nvme_path", "offload_param_nvme_path", "zero3_init_flag",
    "zero3_save_16bit_model", "deepspeed_config_file", "deepspeed_multinode_launcher", "deepspeed_hostfile",
    "deepspeed_exclusion_filter", "deepspeed_inclusion_filter", "deepspeed_moe_layer_cls_names",
})  # fmt: skip
_ON_SEVERAL = {"NO": "", "MULTI_GPU": "ddp", "FSDP": "fsdp", "DEEPSPEED": "zero"}


def is_accelerate(file: ConfigFile) -> bool:
    """Whether a file is one of ``accelerate config``."""
    return "distributed_type" in file.data or "compute_environment" in file.data


def read_accelerate(file: ConfigFile) -> FileSays:
    """What the file sets. Raises InspectorError for what accelerate refuses, and for what no dry run is of."""
    unknown = sorted(set(file.data) - CLUSTER_KEYS)
    if unknown:
        raise InspectorError(f"{file.at(unknown[0])}: accelerate refuses the unknown key {', '.join(unknown)}")
    if str(file.data.get("compute_environment", "LOCAL_MACHINE")) != "LOCAL_MACHINE":
        raise InspectorError(f"{file.at('compute_environment')}: training on Amazon SageMaker is not simulated")
    if "distributed_type" not in file.data:
        raise InspectorError(f"{file.name}: a `distributed_type` must be specified in the config file")
    kind = _ON_SEVERAL.get(_word(file.data["distributed_type"]))
    if kind is None or as_bool(file, file.data.get("use_cpu", False), "use_cpu"):
        raise InspectorError(f"{file.at('distributed_type')}: {file.data['distributed_type']} is not simulated")
    gpus, nodes = _counts(file, kind)
    settings, at = _precision(file)
    notes = [
        f"{file.at(key)}: {key} changes no memory that is simulated"
        for key in ("dynamo_config", "dynamo_backend", "megatron_lm_config", "fp8_config", "mpirun_config")
        if file.data.get(key)
    ]
    if kind == "fsdp":
        of_it = FsdpSection(file)
        words, fields = of_it.read(nodes, settings.get("autocast", "none"))
        more = of_it.checkpointing()
        found, said = of_it.set_at(fields, more), of_it.notes
        return FileSays("accelerate", file.name, words, gpus, nodes, fields, settings | more, at | found,
                        not_understood=(*notes, *said))  # fmt: skip
    if kind == "zero":
        return _deepspeed(file, gpus, nodes, settings, at, notes)
    fields = {}
    return FileSays("accelerate", file.name, kind, gpus, nodes, fields, settings, at, not_understood=tuple(notes))


def _word(value: object) -> str:
    # YAML 1.1 reads a bare NO as false.
    return "NO" if value is False else str(value).upper()


def _counts(file: ConfigFile, kind: str) -> tuple[int, int]:
    nodes = as_count(file, file.data.get("num_machines", 1), "num_machines")
    if "num_processes" not in file.data or file.data["num_processes"] == -1:
        if not kind:
            return 1, nodes
        raise InspectorError(f"{file.name}: You need to manually pass in `--num_processes` using this config yaml.",
                             hint="say num_processes in it, or --gpus")  # fmt: skip
    gpus = as_count(file, file.data["num_processes"], "num_processes")
    ids = str(file.data.get("gpu_ids") or "all")
    if kind == "ddp" and ids != "all" and len(ids.split(",")) < 2 and nodes <= 1:
        raise InspectorError(
            f"{file.at('gpu_ids')}: Less than two GPU ids were configured and tried to run on multiple GPUs.",
            hint="gpu_ids: all",
        )
    # A config without a distributed kind starts one process, whatever number stands in it.
    return (gpus if kind else 1), nodes


def _precision(file: ConfigFile) -> tuple[dict[str, Any], dict[str, str]]:
    said = file.data.get("mixed_precision")
    if said is None and file.data.get("fp16"):
        said = "fp16"
    word = "no" if said in (None, False) else str(said).lower()
    if word not in {"no", "fp16", "bf16"}:
        raise InspectorError(f"{file.at('mixed_precision')}: mixed precision {said!r} is not simulated",
                             hint="no, fp16 or bf16")  # fmt: skip
    where = file.at("mixed_precision")
    if word == "no":
        return {}, {}
    # ``Accelerator.prepare_model`` wraps the forward in both.
    return {"autocast": word, "outputs_fp32": True}, {"autocast": where, "outputs_fp32": where}


def _deepspeed(
    file: ConfigFile, gpus: int, nodes: int, settings: dict[str, Any], at: dict[str, str], notes: list[str]
) -> FileSays:
    """The section that ``DeepSpeedPlugin`` fills in, as a DeepSpeed config."""
    said = section(file, "deepspeed_config")
    notes += [
        f"{file.at('deepspeed_config', key)}: accelerate does not read {key}" for key in said
        if key not in _DEEPSPEED_KEYS
    ]  # fmt: skip
    own = tuple(said)
    if "deepspeed_config_file" in said:
        return FileSays("accelerate", file.name, "", gpus, nodes, {}, settings, at,
                        own_deepspeed_keys=own, not_understood=tuple(notes))  # fmt: skip
    stage = as_count(file, said.get("zero_stage", 2), "deepspeed_config", "zero_stage", least=0)
    config: dict[str, Any] = {
        "train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": said.get("gradient_accumulation_steps", "auto"),
        "gradient_clipping": said.get("gradient_clipping", "auto"),
        "zero_optimization": {
            "stage": stage,
            "offload_optimizer": {"device": str(said.get("offload_optimizer_device", "none")).lower()},
            "offload_param": {"device": str(said.get("offload_param_device", "none")).lower()},
        },
    }  # fmt: skip
    if (word := settings.get("autocast")) is not None:
        config[word] = {"enabled": True}
    return FileSays("accelerate", file.name, "", gpus, nodes, {}, settings, at,
                    deepspeed=config, own_deepspeed_keys=own, not_understood=tuple(notes))  # fmt: skip
