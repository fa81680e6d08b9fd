"""The DeepSpeed config that an engine is made with: a file's own words, or ``--parallel`` and ``--offload``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspector.simulate.setup.parallel import ParallelSetup

KEPT = frozenset({
    "zero_optimization", "fp16", "bf16", "torch_autocast", "optimizer", "gradient_clipping", "communication_data_type",
    "data_types", "prescale_gradients", "gradient_predivide_factor", "sparse_gradients", "zero_force_ds_cpu_optimizer",
    "disable_allgather",
})  # fmt: skip
"""What memory may follow from. Schedules, monitors, checkpoints and the file's own batch are of no dry run."""

NEVER_GIVEN = "auto"
"""What is left of transformers' word is a number that decides no memory, as a learning rate."""


def engine_config(parallel: ParallelSetup, stage: int, half: str, grad_accum: int) -> dict[str, Any]:
    """The config of ``deepspeed.initialize``.

    Args:
        parallel: whose ``deepspeed`` is a file's content, filled as transformers fills it; "" for none.
        stage: 1, 2 or 3.
        half: ``bf16`` or ``fp16`` where the model trains in it, "" for float32; a file says so itself.
        grad_accum: micro-batches that are traced.
    """
    said: dict[str, Any] = json.loads(parallel.deepspeed or "{}")
    made = {key: without_auto(value) for key, value in said.items() if key in KEPT}
    made["zero_optimization"] = {**made.get("zero_optimization", {}), "stage": stage} | _offload(parallel, made)
    if not parallel.deepspeed and half:
        made[half] = {"enabled": True}
    return {
        **made, "train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": grad_accum,
        "zero_allow_untested_optimizer": True,
    }  # fmt: skip


def _offload(parallel: ParallelSetup, said: dict[str, Any]) -> dict[str, Any]:
    """What is typed goes before the file, whose own words about pinned memory stay; nvme is taken for the host."""
    zero = said.get("zero_optimization", {})
    wanted = {"none": (), "optimizer": ("offload_optimizer",), "params": ("offload_optimizer", "offload_param")}
    found: dict[str, Any] = {"offload_param": {"device": "none"}, "offload_optimizer": {"device": "none"}}
    for part in wanted[parallel.offload]:
        written = zero.get(part) if isinstance(zero.get(part), dict) else {}
        if part == "offload_optimizer" and parallel.deepspeed and written.get("device", "none") == "none":
            continue  # a file that offloads the weights alone
        found[part] = {name: value for name, value in written.items() if not name.startswith("nvme")} | {
            "device": "cpu"
        }
    return found


def without_auto(value: Any) -> Any:
    """The same without what is left at ``auto``, which DeepSpeed does not know."""
    if isinstance(value, dict):
        return {key: without_auto(each) for key, each in value.items() if each != NEVER_GIVEN}
    return value


def has_optimizer(config: dict[str, Any]) -> bool:
    """Whether DeepSpeed makes the optimizer, and not the program."""
    return bool(config.get("optimizer", {}).get("type"))


def trains_in_half(config: dict[str, Any]) -> bool:
    """Whether DeepSpeed keeps the weights in half precision, with masters of its own."""
    return any(config.get(word, {}).get("enabled") is True for word in ("fp16", "bf16"))
