"""What LLaMA-Factory's own argument classes make of a file.

Found on PYTHONPATH: ``pip install --target LIBS --no-deps llamafactory omegaconf antlr4-python3-runtime==4.9.3``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

NAME, PACKAGES = "llama-factory", ("llamafactory", "transformers")
os.environ["DISABLE_VERSION_CHECK"] = "1"


def is_theirs(content: dict[str, Any]) -> bool:
    """Whether a file trains: its other files chat, merge and export."""
    return {"stage", "model_name_or_path"} <= set(content)


def theirs(_path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The settings as LLaMA-Factory's classes resolve them."""
    from llamafactory.hparams import DataArguments, FinetuningArguments, ModelArguments
    from transformers import HfArgumentParser, Seq2SeqTrainingArguments

    parser = HfArgumentParser((ModelArguments, DataArguments, Seq2SeqTrainingArguments, FinetuningArguments))
    plain = {name: value for name, value in content.items() if name not in {"deepspeed", "fsdp", "fsdp_config"}}
    # The key of older transformers, which today's class has no longer.
    if "evaluation_strategy" in plain:
        plain["eval_strategy"] = plain.pop("evaluation_strategy")
    said = {"output_dir": "x", "report_to": "none", **plain, "use_cpu": True, "bf16": False, "fp16": False}
    model, data, train, tuned = parser.parse_dict(said, allow_extra_keys=True)
    lora = tuned.finetuning_type == "lora"
    found: dict[str, Any] = {
        "model": model.model_name_or_path, "per_device_batch": train.per_device_train_batch_size,
        "gradient_accumulation": train.gradient_accumulation_steps, "max_grad_norm": train.max_grad_norm,
        "gradient_checkpointing.enabled": not model.disable_gradient_checkpointing,
        "gradient_checkpointing.reentrant": None if model.disable_gradient_checkpointing else model.use_reentrant_gc,
        # Packing takes one off, so that rounding up to 8 does not add one.
        "seq_len": data.cutoff_len + bool(data.packing),
        "packing": bool(data.packing if data.packing is not None else tuned.stage == "pt"),
        "eval_batch": train.per_device_eval_batch_size if train.eval_strategy != "no" or train.do_eval else None,
        "lora.r": tuned.lora_rank if lora else None, "lora.alpha": tuned.lora_alpha if lora else None,
        "lora.dropout": tuned.lora_dropout if lora else None,
        "lora.targets": ("all-linear" if tuned.lora_target == ["all"] else tuned.lora_target) if lora else None,
        "lora.modules_to_save": tuned.additional_target if lora else None,
        "lora.dora": (tuned.use_dora or None) if lora else None,
        "lora.rslora": (tuned.use_rslora or None) if lora else None,
    }  # fmt: skip
    if model.quantization_bit == 4 and model.quantization_method == "bnb":
        found |= {
            "quantization.scheme": model.quantization_type,
            "quantization.double_quant": model.double_quantization,
        }
    if tuned.stage == "dpo":
        found["beta"] = tuned.pref_beta
    return found
