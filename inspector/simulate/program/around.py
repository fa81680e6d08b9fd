"""What loops do around a model's forward: precision, and figures that they take of its output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from inspector.simulate.device.autocast import Autocast
    from inspector.simulate.setup.training import LoopSetup


def to_float32(outputs: Any) -> Any:
    """``accelerate.utils.operations.convert_to_fp32`` of the model's output."""
    from accelerate.utils.operations import convert_to_fp32

    return convert_to_fp32(outputs)


def said(loop: LoopSetup, outputs: Any) -> Any:
    """What a model says to its trainer: accelerate's wrapper converts it under mixed precision."""
    return to_float32(outputs) if loop.outputs_fp32 else outputs


def take_token_accuracy(outputs: Any) -> None:
    """Entropy in chunks, then the likeliest tokens of a shifted copy of the logits.

    Source: trl 0.25 trl/trainer/sft_trainer.py, ``compute_loss``, and trainer/utils.py, ``entropy_from_logits``.
    """
    with torch.no_grad():
        # 128 rows are ``chunk_size`` there.
        for rows in outputs.logits.reshape(-1, outputs.logits.size(-1)).split(128):
            likely = torch.nn.functional.log_softmax(rows, dim=-1)
            -(torch.exp(likely) * likely).sum(-1)
        outputs.logits[..., :-1, :].contiguous().argmax(dim=-1)


def carry_autocast(model: PreTrainedModel, autocast: Autocast) -> None:
    """Recompute under autocast what was computed under it."""
    for module in model.modules():
        if checkpoint := getattr(module, "_gradient_checkpointing_func", None):
            module._gradient_checkpointing_func = autocast.carried(checkpoint)


def regions_apart(autocast: Autocast | None, *models: PreTrainedModel | None) -> None:
    """What is cast for one forward is not for the next: accelerate's autocast is around each model's own forward.

    Source: accelerate/accelerator.py, 1.15, ``prepare_model``.
    """
    for model in models:
        if autocast is not None and model is not None:
            model.register_forward_hook(autocast.forget)
