"""Loading in stage 3 as transformers does it: ``deepspeed.zero.Init``, then module by module gathered and filled.

Sources: transformers/modeling_utils.py, ``get_init_context`` (5.23); deepspeed/runtime/zero/partition_parameters.py,
``Init._post_init_method``: every weight is made whole on the card and cut once its module is complete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from inspector.simulate.parallel.rank_tracer import RankTracer


def load(model: Any, config: dict[str, Any], tracer: RankTracer) -> None:
    """Cut a model that is on the host, and load rank 0's checkpoint into it."""
    from deepspeed.runtime.zero.partition_parameters import Init
    from transformers.integrations import deepspeed as trainer

    shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in model.state_dict().items()}
    init = Init(config_dict_or_path=config)
    for module in _as_built(model):
        tracer.on_the_host(module.parameters(recurse=False))
        init._post_init_method(module)
    # Only rank 0 reads the values; all of them lie in its memory until the last module is filled.
    with tracer.placed("host" if dist.get_rank() == 0 else "nowhere"):
        state = {name: torch.empty(of[0], dtype=of[1], device=tracer.device) for name, of in shapes.items()}
    before = trainer._hf_deepspeed_config_weak_ref
    trainer.set_hf_deepspeed_config(said := trainer.HfDeepSpeedConfig(config))
    try:
        trainer._load_state_dict_into_zero3_model(model, state)
    finally:
        trainer.unset_hf_deepspeed_config()
        if before is not None and (theirs := before()) is not None:
            trainer.set_hf_deepspeed_config(theirs)
    del said
    tracer.arrive(model.buffers())


def _as_built(module: nn.Module) -> Iterator[nn.Module]:
    """Children before what holds them, as constructors end."""
    for child in module.children():
        yield from _as_built(child)
    yield module
