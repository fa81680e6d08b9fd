"""What axolotl's own ``validate_config`` and ``normalize_config`` make of a file.

Found on PYTHONPATH: axolotl's ``src`` (its wheel pins a PyTorch of its own) and what it imports, ``addict``. It is told
of a card of compute capability 8.0, two where the file shards, as its command would ask the driver; a model's config is
ours, as no hub is asked.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

if TYPE_CHECKING:
    from pathlib import Path

NAME, PACKAGES = "axolotl", ("transformers",)
CARD = {"bf16": True, "fp8": False, "tf32": True, "n_node": 1, "compute_capability": "sm_80"}
os.environ["AXOLOTL_DO_NOT_TRACK"] = "1"


def is_theirs(content: dict[str, Any]) -> bool:
    """Whether a file trains a model."""
    return isinstance(content.get("base_model"), str)


def resolved(path: Path, content: dict[str, Any]) -> Any:
    """The settings after axolotl's own two functions. Raises what they raise."""
    import torch
    from axolotl.integrations.base import PluginManager
    from axolotl.utils import config as own
    from axolotl.utils.dict import DictDefault

    said = DictDefault(content)
    said.axolotl_config_path = str(path)
    with ExitStack() as stack:
        for name, answer in (
            ("load_model_config", lambda cfg: _model(cfg.base_model)), ("is_torch_bf16_gpu_available", lambda: True),
            ("log_gpu_memory_usage", lambda *_: None), ("choose_device", lambda cfg: setattr(cfg, "device", "cuda:0")),
        ):  # fmt: skip
            stack.enter_context(patch.object(own, name, answer))
        # The plugins of the file before are forgotten.
        stack.enter_context(patch.object(PluginManager.get_instance(), "plugins", OrderedDict()))
        own.prepare_plugins(said)
        torch_version = torch.__version__.split("+")[0]
        cards = 2 if said.fsdp or said.fsdp_config or said.deepspeed else 1
        capabilities = {**CARD, "n_gpu": cards}
        cfg = own.validate_config(said, capabilities=capabilities, env_capabilities={"torch_version": torch_version})
        own.normalize_config(cfg)
        if cfg.use_ray:
            # What its workers do.
            cfg.use_ray = False
            own.resolve_dtype(cfg)
    return cfg


def _model(name: str) -> Any:
    """The model's config where it is bundled; else one of no known type."""
    from transformers import AutoConfig

    from inspector.sources.bundled import bundled_config, find

    known = find(name)
    return AutoConfig.for_model(**bundled_config(known)) if known else SimpleNamespace(model_type="unknown")


def theirs(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The settings as axolotl resolves them, in our words."""
    cfg = resolved(path, content)
    adapter = cfg.adapter or ""
    lora = adapter in {"lora", "qlora"}
    mixed = "bf16" if cfg.bf16 else "fp16" if cfg.fp16 else "none"
    evaluated = (cfg.val_set_size or 0) > 0 or bool(cfg.test_datasets)
    found: dict[str, Any] = {
        "model": cfg.base_model, "mixed_precision": mixed, "load_dtype": str(cfg.torch_dtype).removeprefix("torch."),
        "per_device_batch": cfg.micro_batch_size, "gradient_accumulation": cfg.gradient_accumulation_steps,
        "seq_len": cfg.sequence_len, "packing": bool(cfg.sample_packing),
        "pad_to_max_length": bool(cfg.pad_to_sequence_len), "eval_batch": cfg.eval_batch_size if evaluated else None,
        "max_grad_norm": 1.0 if cfg.max_grad_norm is None else cfg.max_grad_norm,
        "gradient_checkpointing.enabled": bool(cfg.gradient_checkpointing),
        "attention": cfg.attn_implementation or "sdpa",
        "method": adapter if lora else "full" if not adapter else None,
    }  # fmt: skip
    if cfg.optimizer:
        found["optimizer"] = getattr(cfg.optimizer, "value", cfg.optimizer)
    if cfg.gradient_checkpointing and not cfg.rl:
        found["gradient_checkpointing.reentrant"] = (cfg.gradient_checkpointing_kwargs or {}).get(
            "use_reentrant", False
        )
    if lora:
        found |= {
            "lora.r": cfg.lora_r, "lora.alpha": cfg.lora_alpha, "lora.dropout": cfg.lora_dropout or 0.0,
            "lora.modules_to_save": cfg.lora_modules_to_save or None,
            "lora.dora": cfg.peft_use_dora or None, "lora.rslora": cfg.peft_use_rslora or None,
            "lora_kernels": bool(cfg.lora_mlp_kernel or cfg.lora_qkv_kernel or cfg.lora_o_kernel),
        }  # fmt: skip
    if evaluated:
        found["eval_packing"] = bool(cfg.sample_packing if cfg.eval_sample_packing is None else cfg.eval_sample_packing)
    return found
