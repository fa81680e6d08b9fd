"""The loss: as the installed transformers computes it, as older ones did, in chunks, or fused with the head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from inspector.simulate.setup import TrainSetup
    from inspector.simulate.trace import Tracer


def use_loss(model: Any, setup: TrainSetup, tracer: Tracer) -> None:
    """Make the model compute its loss the way the setup says; ``full`` leaves it to transformers."""
    if setup.loss == "shifted":
        _base(model).loss_function = shifted_loss
    elif setup.loss == "upcast":
        _base(model).loss_function = lambda logits, labels, vocab_size, **_: upcast_loss(
            logits, labels, vocab_size, tracer
        )


def _base(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def shifted_loss(logits: Any, labels: Any, vocab_size: int, **_: Any) -> Any:
    """Until 4.49, transformers copied the shifted logits (``logits[..., :-1, :].contiguous()``) after the upcast.

    Source: transformers v4.48 src/transformers/loss/loss_utils.py, ``ForCausalLMLoss``.
    """
    return _shifted(logits.float(), labels, vocab_size)


def upcast_loss(logits: Any, labels: Any, vocab_size: int, tracer: Tracer) -> Any:
    """Until 4.46, a model's forward replaced its logits by their float32 copy before it shifted them.

    Source: transformers v4.45 src/transformers/models/granite/modeling_granite.py, ``GraniteForCausalLM.forward``.
    """
    wide = logits.float()
    tracer.drop(logits)
    return _shifted(wide, labels, vocab_size)


def _shifted(logits: Any, labels: Any, vocab_size: int) -> Any:
    shifted = logits[..., :-1, :].contiguous().view(-1, vocab_size)
    targets = labels[..., 1:].contiguous().view(-1)
    return torch.nn.functional.cross_entropy(shifted, targets, ignore_index=-100)
