"""DeepSpeed files that trainers ship, by their names: what a trainer's file means that names one of them by a path.

Read at axolotl 067b021 (``deepspeed_configs/``) and LLaMA-Factory ff6d4d1 (``examples/deepspeed/``); only the fields
that memory depends on.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from inspector.simulate.setup.readers.config_file import ConfigFile

if TYPE_CHECKING:
    from collections.abc import Mapping

_AUTO = dict.fromkeys(
    ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping"), "auto"
)
_HALVES = {"fp16": {"enabled": "auto"}, "bf16": {"enabled": "auto"}}
_CPU, _PINNED = {"device": "cpu"}, {"device": "cpu", "pin_memory": True}
_BUCKETS = {"reduce_bucket_size": 5e8, "allgather_bucket_size": 5e8, "overlap_comm": False}
_THIRD = dict.fromkeys(
    ("reduce_bucket_size", "stage3_prefetch_bucket_size", "stage3_param_persistence_threshold"), "auto"
)
_FACTORY_THIRD = {**_THIRD, "overlap_comm": False, "sub_group_size": 1e9}
_AXOLOTL_THIRD = {**_THIRD, "overlap_comm": True, "sub_group_size": 0}
_BRAIN = {"bf16": {"enabled": True}}

SHIPPED: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "llama-factory": {
        "ds_z0_config.json": {**_HALVES, "zero_optimization": {"stage": 0, **_BUCKETS}},
        "ds_z2_config.json": {**_HALVES, "zero_optimization": {"stage": 2, **_BUCKETS}},
        "ds_z2_autotp_config.json": {
            **_HALVES, "zero_optimization": {"stage": 2, **_BUCKETS}, "tensor_parallel": {"autotp_size": 2},
        },
        "ds_z2_offload_config.json": {
            **_HALVES, "zero_optimization": {"stage": 2, **_BUCKETS, "offload_optimizer": _PINNED},
        },
        "ds_z3_config.json": {**_HALVES, "zero_optimization": {"stage": 3, **_FACTORY_THIRD}},
        "ds_z3_offload_config.json": {
            **_HALVES,
            "zero_optimization": {
                "stage": 3, **_FACTORY_THIRD, "offload_optimizer": _PINNED, "offload_param": _PINNED,
            },
        },
        "ds_z3_fp8_config.json": {
            "fp16": {"enabled": False}, "bf16": {"enabled": "auto"},
            "zero_optimization": {
                "stage": 3, "offload_optimizer": _CPU, "overlap_comm": False, "sub_group_size": 1e9,
                "reduce_bucket_size": 12845056, "stage3_prefetch_bucket_size": 11560550,
                "stage3_param_persistence_threshold": 35840,
            },
        },
    },
    "axolotl": {
        "zero1.json": {**_HALVES, "zero_optimization": {"stage": 1, "overlap_comm": True}},
        "zero1_torch_compile.json": {**_HALVES, "zero_optimization": {"stage": 1, "overlap_comm": True}},
        "zero2.json": {**_HALVES, "zero_optimization": {"stage": 2, "overlap_comm": True, "offload_optimizer": _CPU}},
        "zero2_torch_compile.json": {
            **_HALVES, "zero_optimization": {"stage": 2, "overlap_comm": True, "offload_optimizer": _CPU},
        },
        "zero3.json": {**_HALVES, "zero_optimization": {"stage": 3, **_AXOLOTL_THIRD}},
        "zero3_bf16.json": {**_BRAIN, "zero_optimization": {"stage": 3, **_AXOLOTL_THIRD}},
        "zero3_bf16_cpuoffload_all.json": {
            **_BRAIN,
            "zero_optimization": {
                "stage": 3, **_AXOLOTL_THIRD, "offload_optimizer": _PINNED, "offload_param": _PINNED,
            },
        },
        "zero3_bf16_cpuoffload_params.json": {
            **_BRAIN, "zero_optimization": {"stage": 3, **_AXOLOTL_THIRD, "offload_param": _PINNED},
        },
    },
}  # fmt: skip


def deepspeed_named(tool: str, path: str) -> ConfigFile | None:
    """The file of this name that a tool ships; None where it ships none of it."""
    name = PurePosixPath(path.replace("\\", "/")).name
    found = SHIPPED.get(tool, {}).get(name)
    return ConfigFile(f"{tool}'s {name}", {**_AUTO, **found}, {}) if found is not None else None
