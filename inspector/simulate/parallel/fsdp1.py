"""``torch.distributed.fsdp.FullyShardedDataParallel``: a unit's weights are one flat tensor, cut over ranks."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.parallel.fsdp2 import wrap_policy
from inspector.simulate.parallel.rank_trace import Unit
from inspector.simulate.parallel.spreading import Spread, dtype, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from torch import nn


class FlatSharded(Spread):
    """As accelerate prepares a model for it."""

    cuts = True

    def wrap(self, model: nn.Module) -> nn.Module:
        """Every unit's weights become one flat tensor, of which this rank has its part."""
        from torch.distributed.fsdp import BackwardPrefetch, CPUOffload, FullyShardedDataParallel, MixedPrecision

        setup = self.parallel
        mixed = None
        if setup.param_dtype or setup.reduce_dtype or setup.buffer_dtype:
            mixed = MixedPrecision(dtype(setup.param_dtype), dtype(setup.reduce_dtype), dtype(setup.buffer_dtype))
        self.tracer.records_broadcasts = setup.record_broadcasts
        prefetch = {"pre": BackwardPrefetch.BACKWARD_PRE, "post": BackwardPrefetch.BACKWARD_POST}
        wrapped = FullyShardedDataParallel(
            model,
            auto_wrap_policy=self._policy(model),
            mixed_precision=mixed,
            cpu_offload=CPUOffload(offload_params=True) if setup.offload == "params" else None,
            backward_prefetch=prefetch.get(setup.backward_prefetch),
            forward_prefetch=setup.forward_prefetch,
            limit_all_gathers=setup.limit_all_gathers,
            use_orig_params=setup.use_orig_params,
            sync_module_states=setup.sync_module_states,
            device_id=torch.device(self.tracer.device),
        )
        self.tracer.records_broadcasts = False
        if mixed is not None:
            _upcast(wrapped)
        if setup.checkpoint_around_units:
            _checkpoint_around(wrapped)
        self.tracer.arrive(wrapped.buffers())  # which it leaves to the first forward
        return wrapped

    def _policy(self, model: nn.Module) -> Any:
        from torch.distributed.fsdp.wrap import size_based_auto_wrap_policy

        if self.parallel.wrap == "none":
            return None
        if self.parallel.wrap == "size":
            return functools.partial(size_based_auto_wrap_policy, min_num_params=self.parallel.min_num_params)
        return wrap_policy(model)

    def micro_batch(self, *, last: bool) -> AbstractContextManager[Any]:
        """Gradients are reduced after the last alone, and kept whole until then.

        Source: accelerate/accelerator.py, ``no_sync``, which Trainer enters for all but the last.
        """
        return nullcontext() if last else self.model.no_sync()

    def clip(self, parameters: Sequence[torch.Tensor], norm: float) -> None:
        """FSDP's own clipping, over the parts of all ranks."""
        del parameters
        self.model.clip_grad_norm_(norm)

    def units(self) -> tuple[Unit, ...]:
        """Every flat tensor."""
        return units_of(self.model)

    def whole_parameters(self) -> Iterator[torch.Tensor]:
        """None: what FSDP does not flatten it was told to ignore."""
        return iter(())


def units_of(model: nn.Module) -> tuple[Unit, ...]:
    """Every flat tensor of ``FullyShardedDataParallel``."""
    found = []
    for path, module in _handles(model):
        flat = module._handle.flat_param
        wide = (module._handle._fwd_bwd_param_dtype or flat.dtype).itemsize
        whole = flat._unpadded_unsharded_size.numel() * wide
        kept = flat._local_shard.nbytes if hasattr(flat, "_local_shard") else flat.nbytes
        trained = whole if flat.requires_grad else 0
        found.append(Unit(plain(path), type(module.module).__name__, whole, kept, trained))
    return tuple(found)


def _handles(model: nn.Module) -> Iterator[tuple[str, Any]]:
    from torch.distributed.fsdp import FullyShardedDataParallel

    for path, module in model.named_modules():
        if isinstance(module, FullyShardedDataParallel) and module._handle is not None:
            yield path, module


def _upcast(model: nn.Module) -> None:
    """What trains is kept in float32 under mixed precision.

    Source: accelerate/accelerator.py, ``prepare_model``, "hold the parameters in full precision".
    """
    from torch.distributed.fsdp import FullyShardedDataParallel

    for module in FullyShardedDataParallel.fsdp_modules(model):
        flat, handle = module._flat_param, module._handle
        if flat is not None and handle is not None and flat.dtype != torch.float32 and flat.requires_grad:
            flat.data = flat.data.to(torch.float32)
            handle._orig_param_dtype = torch.float32


def _checkpoint_around(model: nn.Module) -> None:
    """Recompute each layer through its unit, which gathers and lets go within the backward as in a forward.

    Until 4.51 a model's loop gave ``decoder_layer.__call__`` to the checkpoint, and under FSDP a decoder layer is its
    unit; from 4.52 on a layer checkpoints its own forward, within the unit (transformers/modeling_layers.py,
    ``GradientCheckpointingLayer``).
    """
    from torch.distributed.fsdp import FullyShardedDataParallel

    for unit in FullyShardedDataParallel.fsdp_modules(model):
        layer: Any = unit.module
        if getattr(layer, "gradient_checkpointing", False):
            layer.gradient_checkpointing, keep = False, layer._gradient_checkpointing_func
            unit.forward = functools.partial(_recomputed, keep, unit.forward)  # type: ignore[method-assign]


def _recomputed(keep: Any, forward: Any, *args: Any, **kwargs: Any) -> Any:
    return keep(functools.partial(forward, **kwargs), *args)
