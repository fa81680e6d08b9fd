"""The forms that a record of a measured run can have: one for each published set, in one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.validation.forms import a100, inference, l40s, rtx4080, t4_loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.validation.fields import Fields
    from inspector.validation.published_run import Question


@dataclass(frozen=True, slots=True)
class Form:
    """How a record is read, and the fields by which it is known: those that no other form has."""

    read: Callable[[Fields], Question]
    own: frozenset[str]


FORMS: dict[str, Form] = {
    "t4_transformers_peft_loop": Form(
        t4_loop.read,
        frozenset(
            {"peak_forward_mib", "peak_backward_mib", "peak_optimizer_mib", "peak_reserved_mib", *t4_loop.RESULTS}
        ),
    ),
    "rtx4080_qlora": Form(
        rtx4080.read,
        frozenset({
            "after_load_allocated_gib", "after_lora_allocated_gib", "after_first_forward_allocated_gib",
            "final_allocated_gib", "peak_reserved_gib",
        }),
    ),
    "a100_sfttrainer": Form(
        a100.read,
        frozenset({
            "framework_config", "amp", "peak_torch_allocated_bytes", "after_init_plus_train_allocated_bytes",
            "nvidia_smi_mib",
        }),
    ),
    "l40s_peft_benchmark": Form(
        l40s.read, frozenset({"base_model", "kind", "peft_config", "train_config", "memory_bytes", "code_era"})
    ),
    "inference_peaks": Form(
        inference.read, frozenset({"input_tokens", "generated_tokens", "kv_dtype", "prompt_and_generation"})
    ),
}  # fmt: skip
"""By the sets' names, in the order of the ledger. Another kind of measurement is another line here."""
