"""transformers' own tensor parallelism (``DistributedConfig``), alone or under its FSDP2: cut before it is loaded."""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.tensor import DTensor, Shard

from inspector.errors import CannotSimulateError, in_one_line
from inspector.patched import patched
from inspector.simulate.parallel.cut import local
from inspector.simulate.parallel.fsdp2 import FullyShard, groups_of
from inspector.simulate.parallel.rank_trace import Unit
from inspector.simulate.parallel.spreading import plain
from inspector.simulate.program.arrival import as_it_is, load_on_device
from inspector.simulate.program.stored.layers import is_packed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn
    from torch.distributed.device_mesh import DeviceMesh
    from transformers import PreTrainedModel

    from inspector.simulate.program.stored.loader import Loader

_LAYER = "transformers.distributed.tensor_parallel.TensorParallelLayer"


class TensorParallel(FullyShard):
    """As ``from_pretrained(distributed_config=DistributedConfig(tp_size=..., fsdp_size=...))`` and Trainer do it."""

    cuts = False
    at_last = True
    """Whether this micro-batch is the last of its step, which is when replicated gradients are summed."""

    @contextmanager
    def surroundings(self) -> Iterator[None]:
        """A cut tensor's strides are asked of a meta tensor, which here would be the card's."""
        with super().surroundings(), patched({f"{_LAYER}._from_local_last_dim_shard": _cut_last}):
            yield

    def loads(self, model: PreTrainedModel, loader: Loader | None) -> None:
        """Each rank reads its own part of each weight: no weight is ever whole on a card.

        Raises CannotSimulateError for what transformers refuses, in its words.
        Source: transformers/modeling_utils.py, ``from_pretrained``; core_model_loading.py, ``DtensorShardOperation``.
        """
        if loader is not None:
            raise CannotSimulateError(
                f"{self.parallel.words} with quantized weights is not simulated: layers that unpack them are not "
                "followed on weights that are cut",
                hint="leave the weights in 16 bits, or train with --parallel fsdp1",
            )
        _check_heads(model, self.sizes().get("tp_size", 1))
        _untie(model)
        try:
            config, meshes = self._meshes()
            type(model).maybe_distribute_model(model, config, meshes)
        except ValueError as error:
            raise CannotSimulateError(
                f"{self.parallel.words} refuses: {in_one_line(error)}", hint="--parallel fsdp2 needs no plan"
            ) from error
        self.tracer.ignore((*model.parameters(), *model.buffers()))
        tied = set(model.all_tied_weights_keys or ())
        total = sum(local(tensor).nbytes for name, tensor in model.state_dict().items() if name not in tied)
        # As a loader asks for it, with what this rank has of each weight (``get_total_byte_count``).
        self.tracer.transient([total // 2 * 2], "transformers::caching_allocator_warmup")
        with self.tracer:
            load_on_device(model, _part, is_packed)
            model.tie_weights(recompute_mapping=False)

    def sizes(self) -> dict[str, int]:
        """What a user gives to ``DistributedConfig``."""
        return {"tp_size": self.parallel.tp, "fsdp_size": self.parallel.world_size // self.parallel.tp}

    def _meshes(self) -> tuple[Any, Any]:
        """The sizes, and the two views of the ranks that transformers makes of them.

        Source: transformers/distributed/utils.py, ``initialize_distributed_mesh``.
        """
        from torch.distributed.device_mesh import init_device_mesh
        from transformers.distributed import DistributedConfig
        from transformers.distributed.utils import TransformersDeviceMesh

        config = DistributedConfig(**self.sizes())
        ways = {"fsdp": config.fsdp_size, "tp": config.tp_size}, {"efsdp": config.efsdp_size, "ep": config.ep_size}
        made = [
            init_device_mesh(self.tracer.device, (1, 1, *way.values()), mesh_dim_names=("pp", "dp_replicate", *way))
            for way in ways
        ]
        return config, TransformersDeviceMesh(*made)

    def wrap(self, model: nn.Module) -> nn.Module:
        """Cut it is already; what Trainer keeps alike on all ranks is broadcast once.

        Source: transformers/trainer.py, ``_sync_replicated_trainable_parameters``.
        """
        from transformers import Trainer

        asked = SimpleNamespace(accelerator=self)
        Trainer._sync_replicated_trainable_parameters(asked, model)
        return model

    @property
    def sync_gradients(self) -> bool:
        """As accelerate says it."""
        return self.at_last

    @contextmanager
    def micro_batch(self, *, last: bool) -> Iterator[None]:
        """Gradients are summed over the ranks after the last alone."""
        self.at_last = last
        if "+" not in self.parallel.strategy:
            yield
        else:
            with super().micro_batch(last=last):
                yield

    def optimizer(self, name: str, model: nn.Module, *, of_trainer: bool = False) -> Any:
        """Weights of one mesh are one group: a kernel for many tensors cannot span two.

        Source: transformers/trainer.py, ``create_optimizer``.
        """
        made = super().optimizer(name, model, of_trainer=of_trainer)
        groups = []
        for group in made.param_groups:
            meshes: defaultdict[Any, list[Any]] = defaultdict(list)
            for parameter in group["params"]:
                meshes[parameter.device_mesh if isinstance(parameter, DTensor) else None].append(parameter)
            groups += [{**group, "params": parameters} for parameters in meshes.values()]
        made.param_groups[:] = groups
        return made

    def clip(self, parameters: Sequence[torch.Tensor], norm: float) -> None:
        """Trainer's own, of which no mesh's norm spans the other."""
        from transformers import Trainer

        del parameters
        Trainer._mixed_mesh_grad_norm(None, self.model, norm)

    def units(self) -> tuple[Unit, ...]:
        """FSDP's units, or without FSDP the layers whose weights are cut: those are never gathered."""
        if "+" in self.parallel.strategy:
            return tuple(self._in_the_model(unit) for unit in super().units())
        sums: dict[str, list[int]] = {}
        for name, parameter in self.model.named_parameters():
            if isinstance(parameter, DTensor):
                its = sums.setdefault(_layer_of(plain(name)), [0, 0, 0])
                its[0] += local(parameter).nbytes
                its[1] += local(parameter).nbytes * parameter.requires_grad
                its[2] += parameter.nbytes
        modules = {plain(name): type(module).__name__ for name, module in self.model.named_modules()}
        return tuple(
            Unit(name, modules.get(name, ""), kept, kept, trained, whole)
            for name, (kept, trained, whole) in sums.items()
        )

    def _in_the_model(self, unit: Unit) -> Unit:
        """What the weights of a unit are before tensor parallelism cut them."""
        module = next(module for name, module in self.model.named_modules() if plain(name) == unit.name)
        parts = [part for group in groups_of(module) for part in group.fsdp_params]
        whole = sum(
            part.sharded_param.numel() * (part.param_dtype or part.sharded_param.dtype).itemsize for part in parts
        )
        return replace(unit, model_bytes=whole)


def _part(name: str, old: torch.Tensor) -> Any:
    """This rank's part of a weight, as it arrives on the card."""
    from transformers.distributed.sharding_utils import _dtensor_from_local_like

    if not isinstance(old, DTensor):
        return as_it_is(name, old)
    part = torch.empty(old._local_tensor.shape, dtype=old.dtype, device=old.device)
    return torch.nn.Parameter(_dtensor_from_local_like(part, old), requires_grad=old.requires_grad)


def _cut_last(part: torch.Tensor, mesh: DeviceMesh, size: int) -> DTensor:
    """A part of the last dimension as a part of the whole.

    Source: transformers/distributed/tensor_parallel.py, ``_from_local_last_dim_shard``.
    """
    from torch._prims_common import make_contiguous_strides_for

    shape = torch.Size((*part.shape[:-1], size))
    strides = make_contiguous_strides_for(shape)
    return DTensor.from_local(part, mesh, [Shard(-1)], run_check=False, shape=shape, stride=strides)


def _untie(model: PreTrainedModel) -> None:
    """``from_pretrained`` ties weights when they are loaded, and cuts them before."""
    for name in model.all_tied_weights_keys or ():
        owner, _, leaf = name.rpartition(".")
        tied = model.get_parameter(name)
        setattr(model.get_submodule(owner), leaf, torch.nn.Parameter(torch.empty_like(tied), tied.requires_grad))


def _check_heads(model: PreTrainedModel, ranks: int) -> None:
    """Raise CannotSimulateError where a rank would have a part of a head: the model's own view of its heads fails."""
    config = model.config.get_text_config()
    attention = [style for name, style in (model.tp_plan or {}).items() if "attn" in name or "attention" in name]
    if not any(style.endswith("colwise") for style in attention):
        return
    for name in ("num_attention_heads", "num_key_value_heads"):
        said = getattr(config, name, None)
        for heads in said if isinstance(said, (list, tuple)) else [said]:
            if isinstance(heads, int) and heads % ranks:
                raise CannotSimulateError(
                    f"{ranks} ranks of tensor parallelism do not divide {name}: {heads}",
                    hint=f"a rank computes whole heads: use a tp that divides {heads}",
                )


def _layer_of(name: str) -> str:
    """The layer that a weight is in, else its module."""
    parts = name.split(".")
    number = next((place for place, part in enumerate(parts) if part.isdigit()), None)
    return ".".join(parts[: number + 1] if number is not None else parts[:-1])
