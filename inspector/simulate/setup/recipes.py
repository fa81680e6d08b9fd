"""Known training stacks by name: what each of them sets before the user says anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from inspector.errors import InspectorError, closest

ATTENTION_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")
COURSE = "LLM Engineering, week 7: github.com/ed-donner/llm_engineering"
ALL_SEVEN = (*ATTENTION_TARGETS, "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A stack's settings, by the names of `TrainSetup`; ``model`` is the one it is meant for, if any."""

    name: str
    about: str
    settings: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    source: str = ""


_TRAINER = {
    "method": "qlora",
    "prepare_kbit": False,
    "use_cache": False,
    "outputs": "loss",
    "outputs_fp32": True,
    "zero_grad": "after",
    # A collator makes labels a tensor of their own.
    "labels": "clone",
    "gradient_checkpointing": True,
    "padding_mask": True,
    # Quantized weights are loaded on the card.
    "via_cpu": False,
}
"""What SFTTrainer on transformers' Trainer does in every version: checkpointing, no packing, mixed precision.

Sources: trl/trainer/sft_config.py and base_config.py (``gradient_checkpointing``, ``packing``, bf16 unless fp16),
transformers/trainer.py (``training_step``), accelerate/accelerator.py (``convert_outputs_to_fp32``).
"""

_SFT = {
    **_TRAINER,
    "adapter_dtype": "bfloat16",
    "autocast": "bf16",
    "loss": "trl",
    "grad_clip": 1.0,
    "reentrant": False,
    "optimizer": "adamw_torch_fused",
    "batch_size": 8,
}
"""SFTTrainer of TRL 1.16 with its defaults, on a quantized model.

Sources: trl 1.16 trainer/sft_trainer.py (adapters in bfloat16, no ``prepare_model_for_kbit_training``, the fused head
of ``add_fused_lm_head``), transformers/training_args.py (``max_grad_norm`` 1.0, ``optim`` adamw_torch_fused,
``per_device_train_batch_size`` 8).
"""

_WEEK_7 = {
    **_TRAINER,
    "scheme": "nf4",
    "double_quant": True,
    "dtype": "float16",
    "dropout": 0.1,
    "optimizer": "paged_adamw_32bit",
    "seq_len": 128,
    "grad_clip": 0.3,
    "trl_casting": True,
    "reentrant": True,
    "token_accuracy": True,
}
"""What the course's LITE and FULL runs share.

From its training notebook, as kept in ed-donner/llm_engineering week7/community_contributions (NaheemQuadri/
WK_7_Training.ipynb; epochs and batch size changed there): double-quantized nf4 computed in bfloat16 where the card has
it and else in float16, alpha twice the rank, dropout 0.1, paged_adamw_32bit, ``max_length`` 128, no packing,
``max_grad_norm`` 0.3, one step of accumulation. The batch sizes are the course's, not in that copy.

It pins TRL 0.25.1, of whose day transformers is 4.57: quantizers/quantizer_bnb_4bit.py loads what is not quantized in
float16 (``update_dtype``); trl 0.25 models/utils.py makes the norms float32 (``prepare_model_for_kbit_training``),
leaves the adapters in float32 and checkpoints without saying ``use_reentrant``, which torch takes as True;
trainer/sft_trainer.py computes the accuracy from a copy of the logits (``compute_loss``).
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
        {**_SFT, "r": 16, "alpha": 32, "dropout": 0.05, "target_modules": ("all-linear",)},
        source="trl 1.16; rank, alpha and dropout of its trainer/model_config.py, targets of its documentation",
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
        source=COURSE,
    ),
    Recipe(
        "week7-full",
        "the course's week 7, FULL: Llama 3.2 3B, rank 256, batches of 256",
        {
            **_WEEK_7,
            "r": 256,
            "alpha": 512,
            "target_modules": ALL_SEVEN,
            "batch_size": 256,
            "gpu": "A100-80GB",
            "autocast": "bf16",
            "compute_dtype": "bfloat16",
        },
        model="meta-llama/Llama-3.2-3B",
        source=COURSE,
    ),
)


def recipe(name: str) -> Recipe:
    """A recipe by its name. Raises InspectorError for an unknown one."""
    known = {item.name: item for item in RECIPES}
    if name not in known:
        close = closest(name.lower(), known, most=1)
        hint = f"did you mean {close[0]}?" if close else f"recipes: {', '.join(known)}"
        raise InspectorError(f"no recipe is named {name!r}", hint=hint)
    return known[name]
