"""What packed layers have in common: their parts as buffers, which layers are taken, and how they are put in place."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from inspector.errors import CannotSimulateError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from inspector.precision.published import Published

Parts = dict[str, tuple[tuple[int, ...], torch.dtype]]
"""Shapes and dtypes of what a layer stores, by the library's names."""

_ENCODERS = re.compile(r"(^|\.)(visual|vision\w*|audio\w*|\w*projector)(\.|$)")
"""Parts that the tools leave alone: they quantize the blocks of the language model."""


class Packed:
    """A layer that keeps its weight in parts, which are buffers."""

    values: tuple[str, ...] = ()
    """The parts that are the weight's values; all others but the bias are constants."""


class PackedLinear(Packed, nn.Module):
    """A linear layer whose weight is packed. No ``nn.Linear``, as those of GPTQModel and hqq are none either.

    Args:
        features: inputs and outputs.
        bias: its dtype, or None without one.
        parts: what is stored.
    """

    bias: torch.Tensor | None

    def __init__(self, features: tuple[int, int], bias: torch.dtype | None, parts: Parts) -> None:
        super().__init__()
        self.in_features, self.out_features = features
        for name, (shape, dtype) in parts.items():
            self.register_buffer(name, torch.empty(shape, dtype=dtype, device="meta"))
        self.register_buffer("bias", None if bias is None else torch.empty((features[1],), dtype=bias, device="meta"))

    def with_bias(self, out: torch.Tensor) -> torch.Tensor:
        """The product with the bias added in place, as these layers do."""
        if self.bias is not None:
            out.add_(self.bias)
        return out


def is_packed(module: nn.Module) -> bool:
    """Whether a layer's buffers are in the checkpoint."""
    return isinstance(module, Packed)


def plain_linears(
    model: nn.Module, published: Published, *, blocks: bool, head: bool
) -> Iterator[tuple[str, nn.Module]]:
    """The linear layers that are packed: those the config does not list.

    With ``blocks`` in the repeated layers of the language model alone; ``head`` says whether the head may be one.
    """
    from transformers.pytorch_utils import Conv1D

    output = getattr(model, "get_output_embeddings", lambda: None)()
    for path, module in list(model.named_modules()):
        if not isinstance(module, nn.Linear | Conv1D) or published.leaves(path):
            continue
        if module is output:
            if not head:
                continue
        elif blocks and (not re.search(r"\.\d+\.", path) or _ENCODERS.search(path)):
            continue
        yield path, module


def fused_experts(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The modules in which transformers keeps all experts of a layer in one parameter."""
    return [
        (path, module)
        for path, module in model.named_modules()
        if path.endswith(".experts") and any(weight.dim() == 3 for weight in module.parameters(recurse=False))
    ]


def refuse_experts(model: nn.Module, published: Published) -> None:
    """Formats whose experts transformers does not load. Raises CannotSimulateError."""
    if any(not published.leaves(path) for path, _ in fused_experts(model)):
        raise CannotSimulateError(
            f"transformers keeps this model's experts in one parameter, and {published.method} packs each by itself:"
            " it reports the packed ones as UNEXPECTED and the parameter as MISSING, newly initialized",
            hint="`inspector memory` weighs such a checkpoint",
        )


def features_of(module: Any) -> tuple[int, int]:
    """Inputs and outputs of a linear layer; the weight of a ``Conv1D`` is transposed."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    inputs, outputs = module.weight.shape
    return inputs, outputs


def put_in_place(model: nn.Module, path: str, layer: nn.Module) -> None:
    """The layer instead of the one of this path, named as gradient and events name it."""
    model.get_submodule(path.rpartition(".")[0])._modules[path.rpartition(".")[2]] = layer


def replace_each(
    model: nn.Module, published: Published, make: Callable[[nn.Module], nn.Module], *, blocks: bool, head: bool
) -> list[Any]:
    """Make a packed layer of each that the format takes. Raises CannotSimulateError where there is none."""
    made = []
    for path, module in plain_linears(model, published, blocks=blocks, head=head):
        layer = make(module)
        layer.requires_grad_(False)
        put_in_place(model, path, layer)
        made.append(layer)
    if not made:
        raise CannotSimulateError(f"{published.title} packs no layer of this {type(model).__name__}")
    return made
