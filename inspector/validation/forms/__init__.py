"""The forms that a record of a measured run can have: one for each published set, in one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from inspector.validation.forms import a100, inference, l40s, preference, rtx4080, several_cards, t4_loop
from inspector.validation.forms.several_cards import NOT_OURS, TITAN, TRAINER, Tool

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

_TOOLS = {
    "fms": Tool(TRAINER, wrap="trainer"), "deepspeed": Tool(), "torchtitan": Tool(TITAN),
    "peft_docs": Tool(TRAINER, wrap="trainer"), "torchao": Tool(), "torchtune": Tool(), "litgpt": Tool(),
    "ms_swift": Tool(TRAINER, wrap="trainer"), "threads": Tool(), "megatron": Tool(refused=NOT_OURS),
}  # fmt: skip
"""Sets of runs on several cards, and what their tools do without saying so."""
SEVERAL_CARDS: dict[str, Form] = {
    f"multigpu_{name}": Form(
        several_cards.reader(tool),
        # One form for all of them: a file of one's own says in its records what differs.
        frozenset({"per_device_batch", "value_bytes", "measured"}) if name == "fms" else frozenset(),
    )
    for name, tool in _TOOLS.items()
}
"""Sets of runs on several cards, by name alone: each takes minutes."""
PREFERENCE: dict[str, Form] = {"preference": Form(preference.read, frozenset({"objective", "provider"}))}
"""Losses and preference training, by name alone: most of its rows leave open what decides."""
ALL = {**FORMS, **SEVERAL_CARDS, **PREFERENCE}
