"""How a script's model is spread over the ranks, read off the wrappers that it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch.distributed.tensor import DTensor

from inspector.simulate.parallel import fsdp1, fsdp2
from inspector.simulate.parallel.rank_trace import Unit
from inspector.simulate.parallel.spreading import plain
from inspector.simulate.script.child.storages import has_no_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


def units_of(model: nn.Module) -> dict[str, Sequence[object]]:
    """``units`` are weights that are gathered and let go as one, ``whole`` the bytes of each that nobody cuts."""
    units = (*fsdp2.units_of(model), *fsdp1.units_of(model), *_of_zero(model))
    cut = {id(each) for each in model.parameters() if isinstance(each, DTensor) or hasattr(each, "ds_tensor")}
    flat = {id(each) for name, each in model.named_parameters() if "_fsdp_wrapped_module" in name}
    whole = [each.nbytes for each in model.parameters() if id(each) not in cut | flat and has_no_data(each)]
    return {"units": units, "whole": whole}


def _of_zero(model: nn.Module) -> list[Unit]:
    """Stage 3 gathers weight by weight: each is a unit of its own, told layer by layer."""
    found: dict[str, list[int]] = {}
    for name, each in model.named_parameters():
        if not hasattr(each, "ds_tensor"):
            continue
        parameter: Any = each
        sums = found.setdefault(plain(name).rpartition(".")[0], [0, 0, 0])
        whole = parameter.ds_numel * parameter.ds_tensor.element_size()
        sums[0] += whole
        sums[1] += parameter.ds_tensor.nbytes
        sums[2] += whole * parameter.requires_grad
    return [Unit(name, "", *sums) for name, sums in found.items()]
