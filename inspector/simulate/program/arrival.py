"""Tensors on their way to the card: moved after loading, or loaded there one by one, in the order of the libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn
    from transformers import PreTrainedModel

    from inspector.simulate.tracing.tracer import Tracer

    Arriving = Callable[[str, torch.Tensor], Any]
    """What becomes of a parameter, by its name and as it was on the meta device, when it arrives on the card."""


def move(model: nn.Module) -> None:
    """``model.to(device)`` after loading on the CPU: children first, as ``nn.Module._apply`` goes."""
    moved: dict[int, Any] = {}

    def fresh(tensor: torch.Tensor) -> Any:
        # Tied weights are one tensor, and stay one on the device.
        if id(tensor) not in moved:
            new = torch.empty_like(tensor)
            if isinstance(tensor, torch.nn.Parameter):
                new = torch.nn.Parameter(new, requires_grad=tensor.requires_grad and new.is_floating_point())
            moved[id(tensor)] = new
        return moved[id(tensor)]

    def apply(module: nn.Module) -> None:
        # In torch's order, which decides what blocks share a segment.
        for child in module.children():
            apply(child)
        for store in (module._parameters, module._buffers):
            for name, tensor in store.items():
                if tensor is not None:
                    store[name] = fresh(tensor)

    apply(model)
    # A function that calls itself lives until garbage is collected, and what it holds with it.
    moved.clear()


def warm_up(model: nn.Module, tracer: Tracer, element_size: Callable[[str, torch.Tensor], float]) -> None:
    """Transformers allocates all the weights' bytes at once and lets go, so that the segment is there to be filled.

    ``element_size`` says what an element of a tensor takes once it is loaded.
    Source: transformers/modeling_utils.py, ``caching_allocator_warmup`` and ``get_total_byte_count``.
    """
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    total = sum(
        tensor.numel() * element_size(name, tensor) for name, tensor in model.state_dict().items() if name not in tied
    )
    # It is asked for as float16, so an odd byte is dropped.
    tracer.transient([int(total // 2) * 2], "transformers::caching_allocator_warmup")


def load_on_device(model: PreTrainedModel, arriving: Arriving, stored: Callable[[nn.Module], bool]) -> None:
    """``from_pretrained`` with ``device_map``: each tensor goes to the device, and is quantized there, in name order.

    ``stored`` says of which modules the checkpoint has the buffers too: packed weights are buffers.
    Source: transformers/core_model_loading.py, ``convert_and_load_state_dict_in_model`` (sorted by ``dot_natural_key``;
    no threads while quantizing) and integrations/bitsandbytes.py, ``Bnb4bitQuantize.convert``.
    """
    from transformers.core_model_loading import dot_natural_key

    packed = [f"{path}.{name}" for path, module in model.named_modules() if stored(module) for name in module._buffers]
    names = [*packed, *(name for name, _ in model.named_parameters(remove_duplicate=False))]
    seen: dict[int, Any] = {}
    for name in sorted(names, key=dot_natural_key):
        owner, _, leaf = name.rpartition(".")
        module = model.get_submodule(owner)
        if leaf in module._buffers:
            if (buffer := module._buffers[leaf]) is not None:
                module._buffers[leaf] = torch.empty_like(buffer)
            continue
        old: Any = module._parameters[leaf]
        if id(old) in seen:
            module._parameters[leaf] = seen[id(old)]
            continue
        module._parameters[leaf] = seen[id(old)] = arriving(name, old)
    # What no checkpoint holds is made when the weights are there (``_finalize_model_loading``).
    for module in model.modules():
        for name, tensor in module._buffers.items():
            if tensor is not None and not stored(module):
                module._buffers[name] = torch.empty_like(tensor)


def as_it_is(_name: str, old: torch.Tensor) -> Any:
    """A parameter that is loaded and nothing else."""
    return torch.nn.Parameter(torch.empty_like(old), requires_grad=old.requires_grad)
