"""compressed-tensors as transformers loads them: compressed, and decompressed for good at the first forward.

Sources: transformers 5.23 quantizers/quantizer_compressed_tensors.py; compressed-tensors 0.20 compressors (the formats)
and model_compressors/model_compressor.py, ``add_decompress_hook``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from inspector.errors import CannotSimulateError
from inspector.memory_kinds import MemoryKind
from inspector.precision.published import block_sizes
from inspector.simulate.program.arrival import as_it_is
from inspector.simulate.program.stored.layers import Packed, Parts, features_of, replace_each
from inspector.simulate.program.stored.loader import Loader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedModel

    from inspector.precision.published import Published
    from inspector.simulate.tracing.tracer import Tracer

_FLOATS = {"float-quantized", "naive-quantized", "int-quantized"}
FORMATS = (*sorted(_FLOATS), "pack-quantized", "nvfp4-pack-quantized", "mxfp4-pack-quantized")
"""Formats whose parts are known here."""


def compressed_parts(stored: str, weights: Mapping[str, Any], inputs: int, outputs: int, dtype: torch.dtype) -> Parts:
    """The parts of a weight in a format, by the library's names."""
    bits, group = int(weights.get("num_bits") or 8), int(weights.get("group_size") or 0)
    groups = -(-inputs // group) if group > 0 else 1
    if stored == "pack-quantized":
        parts: Parts = {
            "weight_packed": ((outputs, -(-inputs * bits // 32)), torch.int32),
            "weight_scale": ((outputs, groups), dtype),
            "weight_shape": ((2,), torch.int64),
        }
        if weights.get("symmetric") is False:
            parts["weight_zero_point"] = ((-(-outputs * bits // 32), groups), torch.int32)
        return parts
    if stored == "nvfp4-pack-quantized":
        return {
            "weight_packed": ((outputs, inputs // 2), torch.uint8),
            "weight_scale": ((outputs, groups), torch.float8_e4m3fn),
            "weight_global_scale": ((1,), torch.float32),
        }
    if stored == "mxfp4-pack-quantized":
        return {
            "weight_packed": ((outputs, inputs // 2), torch.uint8),
            "weight_scale": ((outputs, groups), torch.uint8),
        }
    scale = (outputs, groups) if weights.get("strategy") in {"channel", "group"} else (1,)
    if blocks := block_sizes(weights.get("block_structure")):
        scale = (-(-outputs // blocks[0]), -(-inputs // blocks[1]))
    value = torch.float8_e4m3fn if weights.get("type") == "float" else torch.int8
    return {"weight": ((outputs, inputs), value), "weight_scale": (scale, dtype)}


class CompressedLinear(Packed, nn.Linear):
    """An ``nn.Linear`` whose weight is not there before it is decompressed."""

    values = ("weight_packed", "weight")

    def __init__(
        self, features: tuple[int, int], bias: bool, dtype: torch.dtype, parts: Parts, *, fake_inputs: bool
    ) -> None:
        super().__init__(*features, bias=bias, device="meta", dtype=dtype)
        del self._parameters["weight"]
        for name, (shape, kind) in parts.items():
            self.register_buffer(name, torch.empty(shape, dtype=kind, device="meta"))
        self.dtype = dtype
        self.fake_inputs = fake_inputs

    def decompress(self, bits: int) -> None:
        """A plain weight in the place of the packed one; its scale stays."""
        name = "weight_packed" if "weight_packed" in self._buffers else "weight"
        stored = self._buffers[name]
        assert stored is not None
        values = stored
        if name == "weight_packed" and bits == 4:
            # Bytes are split in two, put side by side, and centred on zero.
            low, high = stored.view(torch.uint8) & 0xF, stored.view(torch.uint8) >> 4
            both = torch.stack((low, high), dim=-1)
            values = both.view(torch.int8) - 8
            del low, high, both
        elif name == "weight_packed":
            wide = torch.empty((self.out_features, self.in_features), dtype=torch.int32, device="meta")
            values = (wide - 1).to(torch.int8)
            del wide
        whole = values.reshape(self.out_features, -1)[:, : self.in_features].to(self.dtype)
        weight = torch.empty_like(whole)
        del whole, values, self._buffers[name]
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 -- the name that nn.Linear has
        """A plain product; inputs that the scheme quantizes are rounded to its grid first (``fake_quantize``)."""
        if self.fake_inputs:
            scale = input.abs().amax(-1, keepdim=True)
            rounded = torch.clamp(torch.round(input / scale), -128, 127)
            input = rounded * scale  # noqa: A001
            del rounded
        return nn.functional.linear(input, self.weight, self.bias)


def compressed(model: PreTrainedModel, published: Published, tracer: Tracer, *, training: bool) -> Loader:  # noqa: ARG001
    """Compressed layers, and a hook on the model that decompresses them. Raises CannotSimulateError."""
    stored, weights, fake = _scheme(published)

    def make(module: nn.Module) -> nn.Module:
        inputs, outputs = features_of(module)
        parts = compressed_parts(stored, weights, inputs, outputs, model.dtype)
        bias = getattr(module, "bias", None) is not None
        return CompressedLinear((inputs, outputs), bias, model.dtype, parts, fake_inputs=fake)

    replace_each(model, published, make, blocks=False)
    tracer.notes.append(
        f"weights as stored, {published.title}; transformers decompresses them to "
        f"{str(model.dtype).removeprefix('torch.')} at the first forward, and they stay so"
    )
    hook: Any = None

    def decompress(root: nn.Module, _: object) -> None:
        hook.remove()
        for path, module in root.named_modules():
            if isinstance(module, CompressedLinear):
                module.decompress(published.bits)
                tracer.label(module.weight, MemoryKind.BASE_WEIGHTS, path)

    hook = model.register_forward_pre_hook(decompress)
    return Loader()


def dequantized_compressed(model: PreTrainedModel, published: Published, tracer: Tracer) -> Loader:
    """``CompressedTensorsConfig(dequantize=True)``: the parts arrive, and a plain weight is made of them."""
    stored, weights, _ = _scheme(published)
    tracer.notes.append(
        f"stored as {published.title}, loaded with dequantize=True: plain weights in {model.dtype}".replace(
            "torch.", ""
        )
    )

    def arriving(name: str, old: torch.Tensor) -> Any:
        path, _, leaf = name.rpartition(".")
        module = model.get_submodule(path)
        if not (isinstance(module, nn.Linear) and leaf == "weight") or published.leaves(path):
            return as_it_is(name, old)
        parts = compressed_parts(stored, weights, module.in_features, module.out_features, old.dtype)
        layer = CompressedLinear((module.in_features, module.out_features), False, old.dtype, {}, fake_inputs=False)
        for part, (shape, dtype) in parts.items():
            layer.register_buffer(part, torch.empty(shape, dtype=dtype, device=old.device))
        layer.decompress(published.bits)
        return nn.Parameter(layer.weight.data, requires_grad=old.requires_grad)

    return Loader(arriving=arriving)


def _scheme(published: Published) -> tuple[str, Mapping[str, Any], bool]:
    """Format, weights' scheme and whether inputs are quantized; one scheme for all layers is known here."""
    groups = published.raw.get("config_groups")
    found = [group for group in groups.values() if isinstance(group, dict)] if isinstance(groups, dict) else []
    weights = [group.get("weights") for group in found]
    stored = str((found[0].get("format") if found else None) or published.raw.get("format") or "")
    if len(found) != 1 or not isinstance(weights[0], dict) or stored not in FORMATS or not _all_linear(found[0]):
        raise CannotSimulateError(
            f"{published.title} has no dry run: one scheme for all linear layers is known here",
            hint="`inspector memory --scheme stored` weighs its files",
        )
    return stored, weights[0], isinstance(found[0].get("input_activations"), dict)


def _all_linear(group: Mapping[str, Any]) -> bool:
    targets = group.get("targets")
    return isinstance(targets, list) and any(re.fullmatch(r"Linear|re:\.\*", str(target)) for target in targets)
