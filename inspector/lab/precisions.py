"""The loss of one text at every precision, with the real libraries. Imports torch, transformers and bitsandbytes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch

from inspector.architecture.quiet import quiet
from inspector.errors import InspectorError
from inspector.lab.reports import Precision, PrecisionLab
from inspector.lab.sampling import chosen_device, sample_of, token_losses, windows
from inspector.lab.small_model import small_model
from inspector.lab.texts import licence
from inspector.lenses.weights import weights
from inspector.measure.build import build
from inspector.measure.weigh import weigh
from inspector.precision import scheme_named
from inspector.store.skeletons import kept_skeleton

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from inspector.lab.small_model import SmallModel

SCHEMES = ("fp32", "bf16", "int8", "nf4", "nf4-dq", "fp4")
"""Those that run on a CPU and on any card, widest first; the first is what the others are compared with."""
WINDOW = 256


def quantize(
    model: Path | str | None = None,
    *,
    tokens: int = 2048,
    device: str = "auto",
    progress: Callable[[Mapping[str, Any]], None] | None = None,
) -> PrecisionLab:
    """Measure the loss of a small model at each of `SCHEMES`, the error of its weights and its bytes.

    Args:
        model: a folder with safetensors or a GGUF file; the packaged model by default.
        tokens: how many of the licence text are read, in windows of `WINDOW`.
        device: ``auto`` (a GPU if there is one), ``cpu`` or ``cuda``.
        progress: called with ``stage``, ``done``, ``total`` and ``name``.

    Raises:
        InspectorError: for a model, a device or a number of tokens that cannot be used.
    """
    if tokens < 2:
        raise InspectorError(f"tokens must be at least 2, not {tokens}")
    on = chosen_device(device)
    text = licence()
    found = small_model(model)
    width = min(WINDOW, tokens)
    rows = windows(found.ids(text.text), width, tokens // width)
    made: list[Precision] = []
    exact = torch.empty(0)
    for done, scheme in enumerate(SCHEMES):
        if progress:
            progress({"stage": "reading at", "name": scheme, "done": done, "total": len(SCHEMES)})
        losses, row = _at(found, scheme, rows, on, exact)
        exact = losses if not made else exact
        made.append(row)
    return PrecisionLab(sample_of(found, [text], on), rows.numel(), width, tuple(made))


def _at(
    model: SmallModel, scheme: str, rows: torch.Tensor, device: torch.device, exact: torch.Tensor
) -> tuple[torch.Tensor, Precision]:
    """The losses at a scheme, and what is said of it beside ``exact`` losses (empty: these are the exact ones)."""
    began = time.perf_counter()
    built = build(model.config, scheme, model, device)
    # Before it is used: for its products on a CPU bitsandbytes packs 4-bit weights anew (``Linear4bit.forward``).
    error, weighed = weight_error(built, model.weights), weigh(built).tensor_bytes
    with quiet():
        losses = token_losses(built, rows)
    difference = losses - exact if exact.numel() else torch.zeros_like(losses)
    skeleton = kept_skeleton(model.config, model.name, "lab")
    return losses, Precision(
        scheme=scheme,
        loss=float(losses.mean()),
        difference=float(difference.mean()),
        # Of the mean of paired differences: the same tokens were read at both precisions.
        difference_error=float(difference.std() / len(difference) ** 0.5) if len(difference) > 1 else 0.0,
        weight_error=error,
        tensor_bytes=weighed,
        predicted_bytes=weights(skeleton, scheme_named(scheme)).tensor_bytes,
        seconds=time.perf_counter() - began,
    )


def weight_error(model: torch.nn.Module, exact: Mapping[str, torch.Tensor]) -> float:
    """Frobenius norm of what the model's linears differ by from exact ones, over that of the exact ones.

    Every linear of the decoder layers, read back from what the model holds by bitsandbytes itself; head and embedding
    are left out, as no scheme of bitsandbytes quantizes them.
    """
    wrong = whole = 0.0
    for path, module in model.named_modules():
        name = f"{path}.weight"
        if isinstance(module, torch.nn.Linear) and name in exact and any(part.isdigit() for part in path.split(".")):
            before = exact[name].float()
            wrong += float((restored(module).float().cpu() - before).square().sum())
            whole += float(before.square().sum())
    return (wrong / whole) ** 0.5 if whole else 0.0


def restored(linear: torch.nn.Linear) -> torch.Tensor:
    """The weight of a linear of torch or bitsandbytes as numbers again."""
    from bitsandbytes import functional as bnb

    weight: Any = linear.weight
    if (state := getattr(weight, "quant_state", None)) is not None:
        unpacked: torch.Tensor = bnb.dequantize_4bit(weight.data, state)
        return unpacked
    if (scales := getattr(weight, "SCB", None)) is not None:
        values: torch.Tensor = bnb.int8_vectorwise_dequant(weight.data, scales)
        return values
    return linear.weight.data
