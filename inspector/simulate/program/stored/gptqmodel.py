"""GPTQ and AWQ checkpoints put in place: the kernel that GPTQModel takes on the card, for every layer it packs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from inspector.errors import CannotSimulateError
from inspector.simulate.device.packed_kernels import (
    BACKENDS,
    EXLLAMA1_LENGTH,
    LEARNS_NOT,
    Kernel,
    awq_kernel,
    gptq_kernel,
    multiprocessors,
)
from inspector.simulate.program.stored.gptq import EXLLAMAS, AwqLinear, GptqLinear, awq_parts, gptq_parts
from inspector.simulate.program.stored.layers import features_of, refuse_experts, replace_each
from inspector.simulate.program.stored.loader import Loader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn
    from transformers import PreTrainedModel

    from inspector.precision.published import Published
    from inspector.simulate.tracing.tracer import Tracer

SOURCE = "gptqmodel 7.7"


def gptq(model: PreTrainedModel, published: Published, tracer: Tracer, *, training: bool) -> Loader:
    """GPTQ in every linear layer of the blocks, as optimum's ``convert_model`` puts it there (optimum 2.3)."""
    raw, half = published.raw, model.dtype == torch.float16
    symmetric, ordered = bool(raw.get("sym", True)), bool(raw.get("desc_act"))
    device = tracer.kernels.device
    assert device is not None
    pinned = _pinned(published, training=training)
    kernel: Kernel = pinned or "Torch"
    if pinned is None:
        kernel = device.ask(gptq_kernel, published.bits, published.group, symmetric, half, training)
    processors = device.ask(multiprocessors) if kernel == "Marlin" else 0

    def make(module: nn.Module) -> nn.Module:
        inputs, outputs = features_of(module)
        bias = model.dtype if getattr(module, "bias", None) is not None else None
        # With one group there is no order to keep.
        reordered = ordered and published.group not in {-1, inputs}
        parts = gptq_parts(inputs, outputs, published.bits, published.group, _scales(model.dtype))
        return GptqLinear((inputs, outputs), bias, parts, kernel, processors, reordered=reordered)

    refuse_experts(model, published)
    made = replace_each(model, published, make, blocks=True, head=bool(raw.get("lm_head")))
    _say(tracer, published, kernel, training=training)
    return Loader(finish=lambda: _prepare(made, batch=8))


def awq(model: PreTrainedModel, published: Published, tracer: Tracer, *, training: bool) -> Loader:
    """AWQ in every linear layer but the head and those the config lists (transformers integrations/awq.py)."""
    device = tracer.kernels.device
    assert device is not None
    pinned = _pinned(published, training=training)
    kernel: Kernel = pinned or "Torch"
    if pinned is None:
        kernel = device.ask(awq_kernel, published.bits, published.group, training)
    processors = device.ask(multiprocessors) if kernel == "Marlin" else 0

    def make(module: nn.Module) -> nn.Module:
        inputs, outputs = features_of(module)
        bias = model.dtype if getattr(module, "bias", None) is not None else None
        parts = awq_parts(inputs, outputs, published.bits, published.group, _scales(model.dtype))
        return AwqLinear((inputs, outputs), bias, parts, kernel, processors, reordered=False)

    refuse_experts(model, published)
    made = replace_each(model, published, make, blocks=False, head=False)
    _say(tracer, published, kernel, training=training)
    # One sequence: utils/model.py, ``gptqmodel_post_init`` (AWQ_BATCH_SIZE).
    return Loader(finish=lambda: _prepare(made, batch=1))


def _pinned(published: Published, *, training: bool) -> Kernel | None:
    """The kernel that the config's own ``backend`` asks for. Raises CannotSimulateError for one that does not train."""
    backend = str(published.raw.get("backend") or "").lower()
    kernel = BACKENDS.get(backend)
    if training and kernel in LEARNS_NOT:
        raise CannotSimulateError(
            f"the config's backend {backend!r} does not train: GPTQModel's {kernel} refuses it (NotImplementedError)",
            hint="'auto_trainable' takes a kernel that does",
        )
    return kernel


def _scales(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype == torch.bfloat16 else torch.float16


def _prepare(layers: Sequence[Any], *, batch: int) -> None:
    """``gptqmodel_post_init``: ExLlama's scratch memory, as large as the largest layer wants, then layer by layer."""
    scratch = None
    if layers[0].kernel in EXLLAMAS:
        size = max(layer.scratch_bytes(batch) for layer in layers)
        scratch = torch.empty((size // 2,), dtype=torch.float16, device="meta")
    for layer in layers:
        layer.prepare(scratch)
    if layers[0].kernel == "AutoGPTQ ExLlama" and layers[0].reordered:
        # Reordered activations; the first layer stands for the model that holds it.
        widest = max(max(layer.in_features, layer.out_features) for layer in layers)
        layers[0].workspace = torch.empty((EXLLAMA1_LENGTH, widest), dtype=torch.float16, device="meta")


def _say(tracer: Tracer, published: Published, kernel: Kernel, *, training: bool) -> None:
    # No number of layers: a few of them may stand for all.
    if kernel.startswith("AutoGPTQ"):
        tracer.notes.append(
            f"weights as stored, {published.title}: layers of AutoGPTQ 0.7 with its {kernel[9:]} kernel"
        )
        return
    backend = published.raw.get("backend") or ("auto_trainable" if training else "auto")
    tracer.notes.append(
        f"weights as stored, {published.title}: layers of {SOURCE} with its {kernel} kernel (backend {backend!r})"
    )
