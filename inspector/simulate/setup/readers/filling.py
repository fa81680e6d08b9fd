"""A DeepSpeed file for one training: its ``auto`` filled by the model and the numbers, as transformers does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inspector.errors import InspectorError
from inspector.simulate.setup.readers.deepspeed import ZERO, filled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.simulate.setup.training import TrainSetup

_BY_THE_MODEL = ("reduce_bucket_size", "stage3_prefetch_bucket_size", "stage3_param_persistence_threshold")
_HALF = {"bfloat16": "bf16", "float16": "fp16"}


def for_training(said: Mapping[str, Any], model: Mapping[str, Any], setup: TrainSetup, world_size: int) -> str:
    """The config as JSON, nothing memory follows from left at ``auto``.

    Args:
        said: content of the file.
        model: content of the model's ``config.json``.
        setup: how it is trained: micro-batch, accumulation, clipping, precision.
        world_size: processes.

    Raises:
        InspectorError: for numbers that contradict the training, and for a model without a hidden size to fill by.
    """
    loop = setup.loop
    dtype = str(setup.load.dtype if setup.load.dtype != "auto" else model.get("dtype") or model.get("torch_dtype"))
    zero = said.get(ZERO)
    hidden = hidden_size(model)
    if not hidden and isinstance(zero, dict) and any(zero.get(key) == "auto" for key in _BY_THE_MODEL):
        raise InspectorError(
            "The model's config file has neither `hidden_size` nor `hidden_sizes` entry, by which transformers fills "
            "`auto`", hint=f"give numbers for {', '.join(_BY_THE_MODEL)}"
        )  # fmt: skip
    made = filled(
        said, hidden_size=hidden, world_size=world_size, batch_size=setup.batch.size, grad_accum=loop.grad_accum,
        grad_clip=loop.grad_clip, precision=loop.autocast if loop.autocast != "none" else _HALF.get(dtype, "none"),
    )  # fmt: skip
    return json.dumps(made, sort_keys=True)


def hidden_size(model: Mapping[str, Any]) -> int:
    """The number that bucket sizes follow from; 0 for none.

    Source: transformers/integrations/deepspeed.py, ``trainer_config_finalize``.
    """
    text = model.get("text_config")
    for part in (model, text if isinstance(text, dict) else {}):
        sizes = part.get("hidden_sizes")
        if size := part.get("hidden_size") or (max(sizes) if isinstance(sizes, list) and sizes else 0):
            return int(size)
    return 0
