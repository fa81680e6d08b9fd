"""``torch.distributed.fsdp.fully_shard``: every weight is cut over the ranks, and gathered layer by layer."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from inspector.errors import CannotSimulateError
from inspector.memory_kinds import MemoryKind
from inspector.simulate.parallel.cut import local
from inspector.simulate.parallel.rank_trace import Unit
from inspector.simulate.parallel.spreading import Spread, dtype, layer_classes, plain, tensors_of
from inspector.simulate.parallel.torchtitan import keep_last_gathered, keep_some_results

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn
    from torch.distributed.fsdp import FSDPModule


class FullyShard(Spread):
    """The layers and the root as units of their own, or what accelerate's ``fsdp2_prepare_model`` makes."""

    cuts = True

    def wrap(self, model: nn.Module) -> nn.Module:
        """Every unit's weights become this rank's parts of them."""
        from torch.distributed.fsdp import fully_shard

        given = self._arguments()
        if self.parallel.wrap in {"trainer", "peft"}:
            model = self._by_accelerate(model, given)
            self.tracer.arrive(model.buffers())
            return model
        chosen = _chosen(model, self.parallel.wrap, self.parallel.min_num_params)
        if self.parallel.as_torchtitan:
            keep_some_results(model)
        for module in chosen:
            fully_shard(module, **given)
        fully_shard(model, **given)
        if self.parallel.as_torchtitan:
            keep_last_gathered(chosen[:1])  # the innermost and last come first
        self.tracer.arrive(model.buffers())  # which it leaves to the first forward
        return model

    def beside(self, model: Any, named: Mapping[nn.Module, str]) -> Any:
        """All of it is one unit, cut before the model that trains is. Source: trl/models/utils.py, ``prepare_fsdp``.

        Raises CannotSimulateError where it would be on the host.
        """
        from torch.distributed.fsdp import fully_shard

        if self.two_devices:
            raise CannotSimulateError(
                f"a second model beside {self.parallel.words} that is offloaded is not simulated",
                hint="--offload none, or --ref-model precomputed",
            )
        self.tracer.on_host, was_on_host = False, self.tracer.on_host
        if was_on_host:
            self.tracer.on_the_host(tensors_of(model))
        with self.tracer:
            fully_shard(model, **self._arguments())
            self.tracer.arrive(model.buffers())
        self.tracer.on_host = was_on_host  # as the model that trains still is
        for module, path in named.items():
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                self.tracer.label(tensor, MemoryKind.REFERENCE, path)
        return model

    def _arguments(self) -> dict[str, Any]:
        from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy

        setup = self.parallel
        return {
            "mesh": self.mesh(),
            "reshard_after_forward": setup.reshard_after_forward,
            "mp_policy": MixedPrecisionPolicy(
                param_dtype=dtype(setup.param_dtype), reduce_dtype=dtype(setup.reduce_dtype)
            ),
            "offload_policy": OffloadPolicy() if setup.offload == "none" else CPUOffloadPolicy(),
        }

    def mesh(self) -> Any:
        """All ranks in a row; of HSDP, a row of shards for each replica."""
        from torch.distributed.device_mesh import init_device_mesh

        setup = self.parallel
        if setup.strategy == "hsdp":
            shape, names = (setup.replicas, setup.shards), ("dp_replicate", "dp_shard")
        else:
            shape, names = (setup.world_size,), ("dp_shard",)  # type: ignore[assignment]
        return init_device_mesh(self.tracer.device, shape, mesh_dim_names=names)

    def _by_accelerate(self, model: nn.Module, given: dict[str, Any]) -> nn.Module:
        """With accelerate's own function, told what Trainer tells it: PEFT's policy is a script's own.

        Source: transformers/trainer.py, ``_prepare_for_training``, which sets that policy under FSDP1 alone.
        """
        from accelerate.utils.fsdp_utils import fsdp2_prepare_model

        mesh = given["mesh"]
        plugin = SimpleNamespace(
            set_auto_wrap_policy=lambda _model: None,
            auto_wrap_policy=wrap_policy(model) if self.parallel.wrap == "peft" else by_layers(model),
            reshard_after_forward=given["reshard_after_forward"],
            cpu_offload=given["offload_policy"],
            mixed_precision_policy=given["mp_policy"],
            ignored_modules=None,
            transformer_cls_names_to_wrap=None,
            cpu_ram_efficient_loading=False,
        )
        accelerator = SimpleNamespace(
            state=SimpleNamespace(fsdp_plugin=plugin),
            torch_device_mesh=mesh,
            parallelism_config=SimpleNamespace(fsdp_dim_names=mesh.mesh_dim_names),
            mixed_precision="bf16" if self.parallel.param_dtype else "no",
            is_main_process=False,
        )
        return fsdp2_prepare_model(accelerator, model)  # type: ignore[no-any-return]

    @contextmanager
    def micro_batch(self, *, last: bool) -> Iterator[None]:
        """Gradients are reduced after the last alone, and kept whole until then.

        Source: accelerate/accelerator.py, ``no_sync``, which Trainer enters for all but the last.
        """
        self.model.set_requires_gradient_sync(last)
        yield

    def units(self) -> tuple[Unit, ...]:
        """Every module whose weights are gathered as one."""
        return units_of(self.model)


def units_of(model: nn.Module) -> tuple[Unit, ...]:
    """Every module of ``fully_shard`` whose weights are gathered as one."""
    from torch.distributed.fsdp import FSDPModule

    found = []
    for path, module in model.named_modules():
        if not isinstance(module, FSDPModule):
            continue
        for group in groups_of(module):
            parts = group.fsdp_params
            whole = [
                part._orig_size.numel() * (part.param_dtype or part.orig_dtype or part.sharded_param.dtype).itemsize
                for part in parts
            ]
            trained = [nbytes for part, nbytes in zip(parts, whole, strict=True) if part.sharded_param.requires_grad]
            kept = sum(local(part.sharded_param).untyped_storage().nbytes() for part in parts)
            cls = type(module).__name__.removeprefix("FSDP")
            found.append(Unit(plain(path), cls, sum(whole), kept, sum(trained)))
    return tuple(found)


def groups_of(module: FSDPModule) -> list[Any]:
    """What is gathered as one with a module that ``fully_shard`` was given, the first of them."""
    state = module._get_fsdp_state()
    groups = getattr(state, "_fsdp_param_groups", None)
    if groups is None:
        groups = [state._fsdp_param_group]
    return [group for group in groups if group is not None and group.fsdp_params and group.modules[0] is module]


def _chosen(model: nn.Module, wrap: str, least: int) -> list[nn.Module]:
    """The modules that are units besides the root, the innermost first."""
    modules = list(model.modules())[:0:-1]
    if wrap == "none":
        return []
    if wrap == "size":
        return _by_size(model, least)
    classes = layer_classes(model)
    return [module for module in modules if type(module) in classes]


def _by_size(model: nn.Module, least: int) -> list[nn.Module]:
    from torch.distributed.fsdp.wrap import size_based_auto_wrap_policy

    chosen: list[nn.Module] = []

    def visit(module: nn.Module) -> int:
        """The elements of a module that no unit inside it takes."""
        inside = sum(visit(child) for child in module.children())
        left = inside + sum(parameter.numel() for parameter in module.parameters(recurse=False))
        if module is not model and size_based_auto_wrap_policy(module, False, left, min_num_params=least):
            chosen.append(module)
            return 0
        return left

    visit(model)
    return chosen


def wrap_policy(model: nn.Module) -> Any:
    """The policy of FSDP1 under Trainer: PEFT's own where there are adapters, else by the layers' classes.

    Source: transformers/distributed/fsdp.py, ``update_fsdp_plugin_peft``.
    """
    if hasattr(model, "peft_config"):
        from peft.utils.other import fsdp_auto_wrap_policy

        return fsdp_auto_wrap_policy(model)
    return by_layers(model)


def by_layers(model: nn.Module) -> Any:
    """The policy by the layers' classes. Source: accelerate/utils/dataclasses.py, ``set_auto_wrap_policy``."""
    from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy

    return functools.partial(transformer_auto_wrap_policy, transformer_layer_cls=layer_classes(model))
