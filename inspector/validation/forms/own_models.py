"""Runs of an example's own model, which a record describes by its sizes: DeepSpeed's engine around an encoder stack."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from inspector.validation import words

if TYPE_CHECKING:
    from inspector.validation.fields import Fields

SIZES = ("hidden", "layers", "heads", "ff", "vocab", "max_positions")
_STAGE = re.compile(r"zero([123])")
_OPTIMIZER = re.compile(r"DeepSpeed (\w+)")


def settings_of(fields: Fields) -> dict[str, Any]:
    """What `inspector.validation.own_model_runs` takes; a model or a loop of another kind is refused in ``fields``."""
    model = fields.part("model", required=True)
    model.told("name", "kind", "parameters", "parameters_note")
    if "MultiheadAttention" not in model.text("kind", ""):
        fields.refuse("a model of the example's own that is no stack of PyTorch's attention, and no config.json")
    sizes = {name: model.whole(name) for name in SIZES}
    part = fields.part("parallel", required=True)
    part.told("sharding", "nodes", "cpu_offload", "zero_init")
    stage = _STAGE.fullmatch(part.text("kind", ""))
    said = part.raw("deepspeed_config")
    if stage is None or not isinstance(said, dict):
        fields.refuse("a model of the example's own without DeepSpeed's config")
    elif part.raw("zero_init") or part.raw("cpu_offload"):
        fields.refuse("an example that offloads or cuts its model as it is made is not simulated")
    optimizer = _OPTIMIZER.match(fields.text("optimizer"))
    if optimizer is None:
        fields.refuse(f"optimizer {fields.text('optimizer')} is not DeepSpeed's own")
    fields.told("attention", "dtype", "quantization", "lora")
    mixed = part.text("mixed_precision", "")
    return {
        "own_model": sizes,
        "stage": int(stage[1]) if stage else 3,
        "gpus": part.whole("world_size", 1),
        "deepspeed": dict(said) if isinstance(said, dict) else {},
        "optimizer": optimizer[1] if optimizer else "",
        "batch_size": fields.whole("per_device_batch"),
        "grad_accum": fields.whole("gradient_accumulation", 1),
        "seq_len": fields.whole("seq_len", unsaid="the lengths were not published", least=2),
        "gradient_checkpointing": fields.flag("gradient_checkpointing", default=False),
        "autocast": "bf16" if "torch_autocast bfloat16" in mixed else "none",
        "card": fields.read("card", words.card, "", required=True),
    }
