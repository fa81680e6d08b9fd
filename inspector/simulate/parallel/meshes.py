"""A mesh's groups, but for those that this rank is not in; and a part of a mesh made once, not for each weight.

Source: torch/distributed/device_mesh.py. ``_init_one_process_group`` makes the groups of all rows and columns, since
every process has to make them in one order, and keeps its own; ``__getitem__`` and ``_concatenate`` make a mesh anew,
with the list of all ranks, and FSDP asks for one of each weight. Nothing of that takes memory of a card.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch.distributed as dist
from torch.distributed._mesh_layout import _MeshLayout
from torch.distributed.device_mesh import DeviceMesh

if TYPE_CHECKING:
    import torch


def of_this_rank() -> dict[str, Any]:
    """What takes the place of the mesh's functions, by their names in the inventory."""
    of_one, rows_of, part_of = DeviceMesh._init_one_process_group, _MeshLayout.remap_to_tensor, DeviceMesh.__getitem__
    joined = DeviceMesh._concatenate
    parts: dict[tuple[DeviceMesh, str | tuple[str, ...]], DeviceMesh] = {}
    wholes: dict[tuple[DeviceMesh, ...], DeviceMesh] = {}
    making: list[object] = []

    def one_group(*asked: Any) -> object:
        making.append(asked)
        try:
            return of_one(*asked)
        finally:
            making.pop()

    def rows(layout: _MeshLayout, rank_map: torch.Tensor) -> torch.Tensor:
        found = rows_of(layout, rank_map)
        return found[(found == dist.get_rank()).any(dim=-1)] if making else found

    def part(mesh: DeviceMesh, mesh_dim_names: str | tuple[str, ...]) -> DeviceMesh:
        asked = mesh, mesh_dim_names
        if asked not in parts:
            parts[asked] = part_of(mesh, mesh_dim_names)
        return parts[asked]

    def together(device_mesh_list: list[DeviceMesh]) -> DeviceMesh:
        asked = tuple(device_mesh_list)
        if asked not in wholes:
            wholes[asked] = joined(device_mesh_list)
        return wholes[asked]

    mesh = "torch.distributed.device_mesh.DeviceMesh"
    return {
        f"{mesh}._init_one_process_group": one_group,
        f"{mesh}.__getitem__": part,
        f"{mesh}._concatenate": together,
        "torch.distributed._mesh_layout._MeshLayout.remap_to_tensor": rows,
    }
