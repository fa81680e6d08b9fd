"""What torchtitan does otherwise than a trainer: layers keep some of their results, and the last stays gathered.

Sources: torchtitan/models/llama/parallelize_llama.py of December 2024, ``_apply_ac_to_transformer_block`` with the op
policy (attention's results and those of every other matrix product are kept), and ``apply_fsdp``.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

if TYPE_CHECKING:
    from torch import nn

_PRODUCT = torch.ops.aten.mm.default
_KEPT = frozenset({
    _PRODUCT, torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_cudnn_attention.default,
})  # fmt: skip


def keep_some_results(model: nn.Module) -> None:
    """Recompute each layer that is checkpointed but for what the policy keeps."""
    for module in model.modules():
        layer: Any = module
        if getattr(layer, "gradient_checkpointing", False) and hasattr(layer, "_gradient_checkpointing_func"):
            layer._gradient_checkpointing_func = functools.partial(
                checkpoint, use_reentrant=False, context_fn=_contexts
            )


def _contexts() -> Any:
    return create_selective_checkpoint_contexts(functools.partial(_policy, Counter()))


def _policy(products: Counter[bool], seen: Any, func: object, *_args: object, **_kwargs: object) -> CheckpointPolicy:
    if func is _PRODUCT:
        products[seen.is_recompute] += 1
    kept = func in _KEPT and not (func is _PRODUCT and products[seen.is_recompute] % 2 == 0)
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


def keep_last_gathered(units: list[Any]) -> None:
    """The last layer is used again at once, in the backward: FSDP would gather it anew."""
    if units:
        units[-1].set_reshard_after_forward(False)
