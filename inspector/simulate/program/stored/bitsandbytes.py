"""Checkpoints that bitsandbytes wrote, its skip list included: transformers' own layers, loaded already quantized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.libraries import need
from inspector.architecture.quantized_base import put_layers
from inspector.architecture.ties import tie_again
from inspector.simulate.program.stored.loader import Loader

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from inspector.precision.published import Published
    from inspector.simulate.tracing.tracer import Tracer


def bitsandbytes(model: PreTrainedModel, published: Published, tracer: Tracer, *, training: bool) -> Loader:  # noqa: ARG001
    """The layers of ``replace_with_bnb_linear``; weights and constants arrive as they are stored."""
    need("accelerate", "bitsandbytes")
    from transformers.quantizers import AutoHfQuantizer

    quantizer = AutoHfQuantizer.from_config(dict(published.raw), pre_quantized=True)
    put_layers(model, quantizer)
    tie_again(model)
    kept = f", {', '.join(published.kept)} left alone" if published.kept else ""
    tracer.notes.append(f"weights as stored, {published.title}: layers of bitsandbytes{kept}")

    def arriving(name: str, old: torch.Tensor) -> Any:
        if not quantizer.param_needs_quantization(model, name):
            return torch.nn.Parameter(torch.empty_like(old), requires_grad=False)
        return _as_stored(old, model.dtype)

    return Loader(
        arriving=arriving,
        element_size=lambda name, tensor: quantizer.param_element_size(model, name, tensor),
        finish=lambda: quantizer.postprocess_model(model) and None,
        quantizer=quantizer,
    )


def quantized_by_bitsandbytes(old: torch.Tensor, value: torch.Tensor) -> Any:
    """A layer's weight as bitsandbytes quantizes the value of it that has arrived."""
    import bitsandbytes

    kwargs = dict(old.__dict__)
    if isinstance(old, bitsandbytes.nn.Params4bit):
        return bitsandbytes.nn.Params4bit(value, requires_grad=False, **kwargs)._quantize(value.device)
    kwargs.pop("SCB", None)
    kwargs.pop("CB", None)
    # transformers brings it by way of the host (integrations/bitsandbytes.py, ``Bnb8bitQuantize``), so that what is
    # quantized lies beside what has arrived, also where both are in float16.
    again = value.clone() if value.dtype == torch.float16 else value
    return bitsandbytes.nn.Int8Params(again, requires_grad=False, **kwargs)._quantize(value.device)


def _as_stored(old: torch.Tensor, dtype: torch.dtype) -> Any:
    """The quantized weight, its values and constants fresh on the card.

    Source: integrations/bitsandbytes.py, ``Bnb4bitDeserialize`` and ``Bnb8bitDeserialize``. Shapes are those of the
    library's own quantization, which is not part of the trace.
    """
    from bitsandbytes.functional import name2qmap

    codes = dict(name2qmap)
    with torch.utils._python_dispatch._disable_current_modes():
        made = quantized_by_bitsandbytes(old, torch.empty(old.shape, dtype=dtype, device=old.device))
    # Loading quantizes nothing: whoever quantizes later makes the code, which the library keeps.
    name2qmap.clear()
    name2qmap.update(codes)
    made.data = torch.empty_like(made.data)
    if getattr(made, "CB", None) is not None:
        made.CB, made.SCB = made.data, torch.empty_like(made.SCB)
        return made
    state = made.quant_state
    while state is not None:
        for name in ("absmax", "code", "offset"):
            if isinstance(part := getattr(state, name, None), torch.Tensor):
                setattr(state, name, torch.empty_like(part))
        state = getattr(state, "state2", None)
    return made
