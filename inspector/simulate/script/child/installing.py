"""Everything that a script finds in place of a driver and a card, put there in its order."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from inspector.simulate.device import attention, decompositions
from inspector.simulate.device.cuda import MULTI_TENSOR
from inspector.simulate.script.child import (
    agreeing,
    c_writers,
    compiled,
    data_sets,
    libraries,
    metrics,
    outside,
    refused,
    sandbox,
    saving,
    scratch_world,
    stubs,
    tensor_methods,
    worst,
)
from inspector.simulate.script.child.hub import Hub
from inspector.simulate.script.child.replaced import replace
from inspector.simulate.script.child.weight_files import WeightFiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.simulate.script.child.world import World


def install(world: World, text: str) -> None:
    """Put everything in its place; from here on this process has a card. ``text`` is the script's."""
    # Every optimizer imports it as it is made (torch/_compile.py), and it lists torch's functions as it finds them.
    importlib.import_module("torch._dynamo")

    world.cuda.install()
    tensor_methods.install(world.tracer, world.memories)
    for module in ("torch.utils._foreach_utils", "torch.optim.optimizer"):
        for name, named in MULTI_TENSOR.items():
            replace(f"{module}.{name}", lambda named=named: list(named))
    operators = {
        **decompositions.CUDA,
        "scaled_dot_product_attention": _attention(attention.sdpa_for(world.device, allowed=_switched_on)),
    }
    world.tracer.composites = {decompositions.overload(name): how for name, how in operators.items()}
    world.stack.enter_context(decompositions.decomposed_as(operators))
    world.stack.enter_context(world.autocast.registered())
    world.stack.enter_context(world.tracer)
    if world.job.launch:
        from inspector.simulate.script.child.rank import as_rank

        as_rank(world)
    world.stages.install()
    world.steps.install(world.skip, lambda: len(world.tracer.log), world.lines, world.imports)
    if world.job.worst:
        worst.install(world.tracer.notes.append)
    sys.meta_path.insert(0, world.imports)
    hub = Hub(world)
    libraries.install(world, hub)
    data_sets.install(world)
    metrics.install(world)
    hub.install()
    if find_spec("safetensors") is not None:
        WeightFiles(world).install()
    saving.install(world)
    stubs.install(world, text)
    outside.install(world, world.lines)
    scratch_world.install(world.scratch, write=world.job.write)
    if not world.job.write:
        c_writers.install(world.scratch, world.imports)
        sandbox.write_nowhere_but([str(Path(world.job.folder).resolve()), "/dev", "/proc"])
    refused.install(world)
    compiled.install(world)


def _attention(sdpa: Callable[..., Any]) -> Callable[..., Any]:
    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: object, **kwargs: object) -> Any:
        agreeing.same_kind(query, key, value)
        return sdpa(query, key, value, *args, **kwargs)

    return attend


def _switched_on() -> frozenset[str]:
    """The backends of attention that ``torch.nn.attention.sdpa_kernel`` and its like leave on."""
    flags = torch.backends.cuda
    names = {
        "flash": flags.flash_sdp_enabled(),
        "efficient": flags.mem_efficient_sdp_enabled(),
        "math": flags.math_sdp_enabled(),
        "cudnn": flags.cudnn_sdp_enabled(),
    }
    return frozenset(name for name, on in names.items() if on)
