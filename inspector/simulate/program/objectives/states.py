"""What a model's head sees, where a loss multiplies with the head by itself: Liger's, as TRL calls them.

Sources: trl/trainer/dpo_trainer.py and kto_trainer.py, ``_compute_loss_liger``, and grpo_trainer.py,
``compute_liger_loss``, 1.9 (until 1.12; from 1.13 TRL has a fused head of its own, and Liger's kernels are in the
model alone).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from inspector.errors import CannotSimulateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel

    from inspector.simulate.setup.training import LoopSetup
    from inspector.simulate.tracing.tracer import Tracer


def seen(model: PreTrainedModel, batch: dict[str, Any]) -> tuple[Any, torch.Tensor]:
    """A backbone's outputs, held as long as a loss is made, and the weight of the head above it.

    Nothing is cast: accelerate's autocast is around the forward of the whole model (transformers/trainer.py, 5.23,
    ``autocast_smart_context_manager``), which is not called.
    """
    base, head = _with_head(model)
    with torch.autocast("cuda", enabled=False):
        outputs = base.base_model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)
    return outputs, head.weight


@contextmanager
def at_the_head(model: PreTrainedModel, tracer: Tracer) -> Iterator[None]:
    """The head itself is not called: what is made here is of it."""
    before = tracer.enter(_with_head(model)[1])
    with torch.autocast("cuda", enabled=False):
        yield
    tracer.leave(before)


def _with_head(model: PreTrainedModel) -> tuple[Any, Any]:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = base.get_output_embeddings()
    if head is None:
        raise CannotSimulateError(f"{type(base).__name__} has no output head")
    return base, head


def scaled(loop: LoopSetup) -> bool:
    """Whether a loss is divided by the micro-batches of a step, or scaled up, before its backward."""
    return loop.grad_accum > 1 or loop.autocast == "fp16"
