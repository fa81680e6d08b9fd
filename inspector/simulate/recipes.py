"""Known training stacks by name: what each of them sets before the user says anything."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Any

from inspector.errors import InspectorError

ATTENTION_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")
ALL_SEVEN = (*ATTENTION_TARGETS, "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A stack's settings, by the names of `TrainSetup`; ``model`` is the one it is meant for, if any."""

    name: str
    about: str
    settings: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    source: str = ""


_SFT = {
    "method": "qlora",
    "prepare_kbit": False,
    "adapter_dtype": "bfloat16",
    "autocast": "bf16",
    "use_cache": False,
    "outputs": "loss",
    "outputs_fp32": True,
    "zero_grad": "after",
    "labels": "clone",
    "grad_clip": 1.0,
    "gradient_checkpointing": True,
    "reentrant": False,
    "optimizer": "adamw_torch_fused",
    "padding_mask": True,
    "via_cpu": False,
}
"""TRL's SFTTrainer on transformers' Trainer, with the loss that transformers computes from the logits.

Source: trl/trainer/base_config.py and sft_trainer.py 1.16 (bf16, checkpointing, adapters in bfloat16, no
``prepare_model_for_kbit_training``), transformers/training_args.py (``max_grad_norm`` 1.0, ``optim``
adamw_torch_fused), trainer.py (``training_step``), accelerate/accelerator.py (``convert_outputs_to_fp32``).
"""

_WEEK_7 = {
    **_SFT,
    "scheme": "nf4",
    "double_quant": True,
    "dropout": 0.1,
    "optimizer": "paged_adamw_32bit",
    "seq_len": 128,
    "grad_clip": 0.3,
}
"""What the course's LITE and FULL runs share.

Rank, targets, batch, length, dropout and optimizer are the course's. Alpha (twice the rank, its rule of thumb), the
gradient clipping and float16 on the T4 are assumed: they were not read off its notebook.
"""

RECIPES: tuple[Recipe, ...] = (
    Recipe(
        "peft-loop",
        "a plain loop: transformers, PEFT and torch's AdamW, no autocast",
        {
            "optimizer": "adamw_torch",
            "gradient_checkpointing": True,
            "outputs": "step",
            "zero_grad": "before",
            "r": 32,
            "alpha": 64,
            "target_modules": ATTENTION_TARGETS,
        },
        source="the loop of t4_transformers_peft_loop.json",
    ),
    Recipe(
        "sft-trainer",
        "TRL's SFTTrainer with its defaults, on a 4-bit model",
        {**_SFT, "r": 16, "alpha": 32, "target_modules": ("all-linear",)},
        source="trl/trainer/sft_trainer.py",
    ),
    Recipe(
        "week7-lite",
        "the course's week 7, LITE: Llama 3.2 3B, rank 32, batches of 32",
        {
            **_WEEK_7,
            "r": 32,
            "alpha": 64,
            "target_modules": ATTENTION_TARGETS,
            "batch_size": 32,
            "gpu": "T4",
            "autocast": "fp16",
            "compute_dtype": "float16",
        },
        model="meta-llama/Llama-3.2-3B",
        source="LLM Engineering, week 7",
    ),
    Recipe(
        "week7-full",
        "the course's week 7, FULL: Llama 3.2 3B, rank 256, batches of 256",
        {**_WEEK_7, "r": 256, "alpha": 512, "target_modules": ALL_SEVEN, "batch_size": 256, "gpu": "A100-80GB"},
        model="meta-llama/Llama-3.2-3B",
        source="LLM Engineering, week 7",
    ),
)


def recipe(name: str) -> Recipe:
    """A recipe by its name. Raises InspectorError for an unknown one."""
    known = {item.name: item for item in RECIPES}
    if name not in known:
        close = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"recipes: {', '.join(known)}"
        raise InspectorError(f"no recipe is named {name!r}", hint=hint)
    return known[name]
