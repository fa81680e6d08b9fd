"""The world as a program finds it on a CUDA card, although its tensors have no data: put together once, for all."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.own_random import own_random_numbers
from inspector.architecture.quiet import quiet
from inspector.patched import patched
from inspector.simulate.device import attention, decompositions, flash_attention
from inspector.simulate.device.autocast import Autocast, no_autocast
from inspector.simulate.device.bitsandbytes import map_apart
from inspector.simulate.device.checkpoint_hooks import no_hooks_left
from inspector.simulate.device.fp8 import fp8_products
from inspector.simulate.device.kernels import has_grouped_mm
from inspector.simulate.device.random_numbers import NOT_THE_CALLERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inspector.simulate.device.questions import Device

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@contextmanager
def as_on(
    device: Device,
    paged: Callable[[Any], None],
    *,
    sdpa_backend: str = "",
    autocast: str = "none",
    fp8: bool = False,
    routing: str = "balanced",
) -> Iterator[Autocast | None]:
    """While this runs, libraries on this thread choose and compute for meta tensors as they do on the card.

    Args:
        device: the card that is asked what it does.
        paged: told of every tensor in managed memory, which the allocator knows nothing of.
        sdpa_backend: the backend of attention that is pinned; "" leaves the choice to the card.
        autocast: ``none``, ``bf16`` or ``fp16``.
        fp8: whether the model has FP8 layers, whose kernels are replaced.
        routing: how their experts share tokens, where that matters.

    Yields:
        The autocast whose regions the program enters; None without one.
    """
    operators = {**decompositions.CUDA, "scaled_dot_product_attention": attention.sdpa_for(device, sdpa_backend)}
    replaced = {**multi_tensor(), **map_apart(), **_optimizers(paged), **NOT_THE_CALLERS}
    replaced |= {"torch.Tensor.__format__": in_names()} | flash_attention.known_to_transformers()
    if not device.ask(has_grouped_mm):
        replaced |= _without_grouped_mm()
    if fp8:
        replaced |= fp8_products(routing)
    region = Autocast(_DTYPES[autocast]) if autocast != "none" else None
    with ExitStack() as stack:
        stack.enter_context(quiet())
        stack.enter_context(own_random_numbers())
        stack.enter_context(patched(replaced))
        stack.enter_context(decompositions.decomposed_as(operators))
        stack.enter_context(no_hooks_left())
        stack.enter_context(no_autocast() if region is None else region.registered())
        yield region


def in_names() -> Callable[[torch.Tensor, str], str]:
    """``f"expert_{number}"`` of a tensor without data, as of one with data: what the tracer answers is asked.

    Source: torch/_tensor.py, ``Tensor.__format__``, which leaves meta tensors out.
    """
    usual = torch.Tensor.__format__

    def formatted(self: torch.Tensor, format_spec: str) -> str:
        # Another program's tensor on meta has nobody who knows its number.
        if self.dim() == 0 and self.is_meta and torch.utils._python_dispatch._get_current_dispatch_mode() is not None:
            return str(self.detach().item().__format__(format_spec))
        return str(usual(self, format_spec))

    return formatted


def multi_tensor() -> dict[str, Any]:
    """Torch's optimizers and gradient clipping choose for meta tensors as they choose for CUDA tensors.

    They use multi-tensor and fused kernels on the device types that these name (torch/utils/_foreach_utils.py); fused
    ones there are for a CPU too, where weights lie that are offloaded.
    """
    return {
        f"{module}.{name}": lambda named=named: list(named)
        for module in ("torch.utils._foreach_utils", "torch.optim.optimizer")
        for name, named in MULTI_TENSOR.items()
    }


MULTI_TENSOR = {
    "_get_foreach_kernels_supported_devices": ("cuda", "meta"),
    "_get_fused_kernels_supported_devices": ("cuda", "meta", "cpu"),
}
"""What names the types of devices whose tensors optimizers take together, and those it names."""


def _optimizers(paged: Callable[[Any], None]) -> dict[str, Any]:
    """The optimizers of bitsandbytes work on meta tensors; paged state is managed memory, not the allocator's.

    Source: bitsandbytes/functional.py, ``get_paged`` (``cudaMallocManaged``), ``is_on_gpu``; optim/optimizer.py,
    ``Optimizer8bit.get_state_buffer`` (state of 100,000 elements and more is paged).
    """
    # A step without it has not imported it, and there is nothing to replace.
    if "bitsandbytes" not in sys.modules:
        return {}

    def get_paged(*shape: int, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> Any:
        # Unseen by the tracer, or managed memory would be counted among the allocator's blocks.
        with torch.utils._python_dispatch._disable_current_modes():
            out = torch.empty(shape, dtype=dtype, device="meta" if device is None else device)
        paged(out)
        out.is_paged = True  # type: ignore[attr-defined]
        out.page_deviceid = 0  # type: ignore[attr-defined]
        return out

    functional = "bitsandbytes.functional"
    return {
        f"{functional}.get_paged": get_paged,
        f"{functional}.fill": lambda *_args, **_kwargs: None,
        f"{functional}.prefetch_tensor": lambda *_args, **_kwargs: None,
        f"{functional}.is_on_gpu": lambda _tensors: True,
    }


def _without_grouped_mm() -> dict[str, Any]:
    """Cards before Ampere have no grouped product: transformers goes through the experts one by one.

    Source: transformers/integrations/moe.py, ``_can_use_grouped_mm``.
    """
    return {"transformers.integrations.moe._can_use_grouped_mm": lambda *_args: False}
