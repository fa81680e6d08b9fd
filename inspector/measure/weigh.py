"""Weigh a real model: the bytes of every live storage it holds, counted once. Imports torch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from inspector.units import block_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn
    from transformers import PreTrainedModel

Role = Literal["parameter", "buffer", "constant"]


@dataclass(frozen=True, slots=True)
class Storage:
    """One storage of a model: the tensor it was found through, and its size in bytes."""

    name: str
    module: str
    role: Role
    nbytes: int


@dataclass(frozen=True, slots=True)
class Weighing:
    """What a model holds, in bytes of live storages.

    ``tensor_bytes`` is everything: parameters, buffers and bitsandbytes' quantization constants, each storage once.
    ``footprint_bytes`` is what ``get_memory_footprint()`` says. ``block_bytes`` is every storage rounded up to the
    CUDA allocator's 512. ``kinds`` splits ``tensor_bytes`` by part of the model, ``constants`` the constants by name.
    """

    tensor_bytes: int
    footprint_bytes: int
    parameter_bytes: int
    buffer_bytes: int
    constant_bytes: int
    block_bytes: int
    storages: int
    kinds: dict[str, int]
    constants: dict[str, int]


def weigh(model: PreTrainedModel, parts: Mapping[str, str] | None = None) -> Weighing:
    """Weigh a transformers or PEFT model.

    Args:
        model: any model with ``get_memory_footprint()``.
        parts: which part of a model (attention, mlp, ...) a module's path is; what is not in it is ``other``.
    """
    found = tuple(storages(model))
    kinds: Counter[str] = Counter()
    constants: Counter[str] = Counter()
    roles: Counter[str] = Counter()
    for storage in found:
        roles[storage.role] += storage.nbytes
        kinds["buffers" if storage.role == "buffer" else _part(storage, parts or {})] += storage.nbytes
        if storage.role == "constant":
            constants[storage.name.rpartition(".weight.")[2]] += storage.nbytes
    return Weighing(
        tensor_bytes=sum(roles.values()),
        footprint_bytes=int(model.get_memory_footprint()),
        parameter_bytes=roles["parameter"],
        buffer_bytes=roles["buffer"],
        constant_bytes=roles["constant"],
        block_bytes=sum(block_bytes(storage.nbytes) for storage in found),
        storages=len(found),
        kinds=dict(kinds),
        constants=dict(constants),
    )


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """This rank's part of a tensor that is cut over ranks; any other as it is."""
    part: torch.Tensor = getattr(tensor, "_local_tensor", tensor)
    return part


def breakdown(model: nn.Module) -> dict[str, int]:
    """Bytes of parameters and constants under the names of the published T4 measurements; buffers are left out."""
    seen: set[int] = set()
    found = {"nf4_packed": 0, "quant_scales": 0, "unquantized_fp32": 0, "other": 0}
    names = {torch.uint8: "nf4_packed", torch.float32: "unquantized_fp32"}
    for _, _, role, tensor in _tensors(model):
        storage = own_part(tensor).untyped_storage()
        # Empty storages share one address, the null pointer.
        if role != "buffer" and storage.nbytes() and storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            found["quant_scales" if role == "constant" else names.get(tensor.dtype, "other")] += storage.nbytes()
    return found


def storages(model: nn.Module) -> Iterator[Storage]:
    """Every storage of a model, by the first tensor that uses it; tied tensors and views come once."""
    seen: set[int] = set()
    for name, module, role, tensor in _tensors(model):
        storage = tensor.untyped_storage()
        key = storage.data_ptr()
        if storage.nbytes() and key not in seen:
            seen.add(key)
            yield Storage(name, module, role, storage.nbytes())


def constants_of(parameter: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """What bitsandbytes keeps beside a quantized weight: neither parameters nor buffers.

    Source: bitsandbytes ``functional.py`` (``QuantState``) and ``nn/modules.py`` (``Int8Params``).
    """
    state, prefix = getattr(parameter, "quant_state", None), ""
    while state is not None:
        for name in ("absmax", "code", "offset"):
            if isinstance(tensor := getattr(state, name, None), torch.Tensor):
                yield prefix + name, tensor
        state, prefix = getattr(state, "state2", None), "nested "
    if isinstance(scales := getattr(parameter, "SCB", None), torch.Tensor):
        yield "SCB", scales


def _tensors(model: nn.Module) -> Iterator[tuple[str, str, Role, torch.Tensor]]:
    for path, module in model.named_modules():
        prefix = f"{path}." if path else ""
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            yield prefix + name, path, "parameter", parameter
            for constant, tensor in constants_of(parameter):
                yield f"{prefix}{name}.{constant}", path, "constant", tensor
        # After its first forward, a Linear8bitLt keeps its scales in `state` and not on the weight.
        scales = getattr(getattr(module, "state", None), "SCB", None)
        if isinstance(scales, torch.Tensor):
            yield f"{prefix}weight.SCB", path, "constant", scales
        for name, buffer in module._buffers.items():
            if buffer is not None:
                yield prefix + name, path, "buffer", buffer


def _part(storage: Storage, parts: Mapping[str, str]) -> str:
    if "lora_" in storage.module:
        return "adapters"
    # PEFT wraps the model, and keeps the layer it adapts as ``base_layer``.
    path = storage.module.removeprefix("base_model.model.").replace(".base_layer", "")
    return parts.get(path, "other")
