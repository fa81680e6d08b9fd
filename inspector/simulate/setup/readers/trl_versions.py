"""Of which TRL a file is, and the defaults of that one: read from every tag, 0.8 to 1.16.

Source: huggingface/trl, trl/trainer/*_config.py and model_config.py at v0.8.6, v0.9.6, v0.10.1, v0.11.4, v0.12.2,
v0.13.0, v0.14.0, v0.15.2, v0.16.1, v0.17.0, v0.18.2, v0.19.1, v0.20.0, v0.22.2, v0.23.1, v0.24.0, v0.25.1, v0.26.2,
v0.27.0, v0.28.0, v0.29.0, v1.0.0, v1.3.0, v1.6.0, v1.9.0 and 1.16.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

Version = tuple[int, int]
NEWEST: Version = (1, 16)
OLDEST: Version = (0, 8)

GONE_IN: Mapping[str, Version] = {
    "max_target_length": (0, 14), "use_liger": (0, 18), "max_seq_length": (0, 20), "num_of_sequences": (0, 20),
    "chars_per_token": (0, 20), "dataset_batch_size": (0, 20), "torch_dtype": (0, 27), "max_prompt_length": (0, 28),
    "use_liger_loss": (0, 28), "generate_during_eval": (0, 29), "rpo_alpha": (0, 29), "model_adapter_name": (0, 29),
    "ref_adapter_name": (0, 29), "ref_model_init_kwargs": (0, 29), "use_logits_to_keep": (0, 29),
    "use_num_logits_to_keep": (0, 16), "reference_free": (0, 29), "force_use_ref_model": (0, 29),
    "label_pad_token_id": (0, 29), "vllm_device": (0, 17), "vllm_dtype": (0, 17),
    "vllm_max_model_len": (0, 17), "use_flash_attention_2": (0, 8),
}  # fmt: skip
"""Keys, and the first version that has them no longer: a file with one was written for an older TRL."""
OPEN_R1 = frozenset({
    "dataset_prompt_column", "benchmarks", "callbacks", "push_to_hub_revision", "overwrite_hub_revision",
    "cosine_max_len", "cosine_min_value_wrong", "repetition_n_grams", "repetition_max_penalty", "code_language",
    "wandb_log_unique_prompts",  "ioi_provider", "code_provider", "e2b_router_url", "morph_router_url",
    "parallel_code_exec_per_proc", "code_eval_test_batch_size", "max_completion_len", "soft_punish_cache",
})  # fmt: skip
"""Keys of open-r1's own classes (src/open_r1/configs.py at 1416fa0), which pins TRL 0.18.0 and transformers 4.52.3."""
HANDBOOK = frozenset({
    "dataset_mixer", "dataset_mixture", "dataset_splits", "preprocessing_num_workers", "dataset_configs",
    "auto_insert_empty_system_msg", "text_column", "model_code_revision", "base_model_revision", "chat_template",
    "reward_funcs", "use_flash_attention_2", "system_prompt", "trust_remote_code",
})  # fmt: skip
"""Keys of alignment-handbook's classes, of its recipes of every year."""


def parsed(said: str) -> Version:
    """``0.18.0`` as numbers. Raises InspectorError for what is no version."""
    parts = said.strip().lower().removeprefix("trl").lstrip(" =v").split(".")
    if len(parts) < 2 or not all(part.isdecimal() and len(part) < 4 for part in parts[:2]):
        raise InspectorError(f"{said!r} is no version", hint="such as 0.18.0")
    return int(parts[0]), int(parts[1])


def version_for(keys: frozenset[str]) -> tuple[Version, str]:
    """The version of a file with these keys, and why that one: what a project pins, else the newest that takes them."""
    if OPEN_R1 & keys:
        return (0, 18), f"{min(OPEN_R1 & keys)} is open-r1's, which pins 0.18.0"
    found = [(GONE_IN[key], key) for key in keys if key in GONE_IN]
    if not found:
        return NEWEST, "the newest"
    first, key = min(found)
    return before(first), f"{key} is in no later one"


def before(version: Version) -> Version:
    """The one before a version."""
    if version == (1, 0):
        return 0, 29
    return max((version[0], version[1] - 1), OLDEST)


def dtype_silent(version: Version) -> str:
    """``dtype`` where no file says it: transformers' own choice until 0.26 (float32 before 5), then float32."""
    return "float32" if version >= (0, 27) else "auto"


def half_silent(version: Version) -> str:
    """Mixed precision where no file says it."""
    return "bf16" if version >= (0, 19) else "none"


def checkpointing_silent(version: Version) -> bool:
    """Gradient checkpointing where no file says it."""
    return version >= (0, 22)


def reentrant_silent(version: Version, transformers: int) -> bool:
    """``use_reentrant`` where no file says it: TRL's own False from 0.29 on, else transformers'."""
    return version < (0, 27) and transformers < 5


def length_silent(objective: str, version: Version) -> int | None:
    """The longest sequence where no file says it; None: the data's, or the model's."""
    if objective == "sft":
        # 1024 at most, or the tokenizer's own.
        return 1024
    return 1024 if version >= (0, 14) else None


def beta_silent(objective: str, version: Version) -> float | None:
    """``beta`` where no file says it."""
    if objective == "grpo":
        return 0.04 if version < (0, 19) else 0.0
    return {"dpo": 0.1, "kto": 0.1, "orpo": 0.1, "cpo": 0.1, "simpo": 0.1, "rloo": 0.05}.get(objective)


def completion_silent(version: Version) -> int:
    """Tokens of a completion in GRPO and RLOO."""
    return 512 if version >= (1, 10) else 256


def prompt_silent(version: Version) -> int | None:
    """The longest prompt in GRPO; None from 0.26 on: as long as it is."""
    return 512 if version < (0, 26) else None


def server_silent(version: Version) -> bool:
    """Whether vLLM is a server of its own where no file says the mode."""
    return version < (1, 0)


def vllm_share_silent(version: Version) -> float | None:
    """``vllm_gpu_memory_utilization``."""
    return 0.9 if version < (0, 16) else None if version < (0, 18) else 0.3
