"""compressed-tensors as transformers loads them: compressed, and decompressed for good at the first forward.

Experts that transformers keeps in one parameter are decompressed as they are loaded. Sources: transformers 5.23
quantizers/quantizer_compressed_tensors.py and integrations/compressed_tensors.py, ``CompressedTensorsDequantize``;
compressed-tensors 0.20 compressors (the formats) and model_compressors/model_compressor.py, ``add_decompress_hook``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from inspector.errors import CannotSimulateError
from inspector.memory_kinds import MemoryKind
from inspector.precision.compressed import BYTES, FORMATS, dense_group, group_of, group_of_experts, groups_in, parts_of
from inspector.simulate.program.arrival import as_it_is
from inspector.simulate.program.stored.layers import Packed, Parts, features_of, fused_experts, put_in_place
from inspector.simulate.program.stored.loader import Loader

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from inspector.precision.compressed import Group
    from inspector.precision.published import Published
    from inspector.simulate.tracing.tracer import Tracer

_REFUSED = "We encountered some issues during automatic conversion of the weights."
"""What transformers says of it (core_model_loading.py)."""


def compressed_parts(group: Group, inputs: int, outputs: int, dtype: torch.dtype) -> Parts:
    """The parts of a weight in a group's format, by the library's names."""
    named = parts_of(group, inputs, outputs, str(dtype).removeprefix("torch."))
    return {name: (shape, getattr(torch, kind)) for name, (shape, kind) in named.items()}


class CompressedLinear(Packed, nn.Linear):
    """An ``nn.Linear`` whose weight is not there before it is decompressed."""

    values = ("weight_packed", "weight")

    def __init__(self, features: tuple[int, int], bias: bool, dtype: torch.dtype, parts: Parts, group: Group) -> None:
        super().__init__(*features, bias=bias, device="meta", dtype=dtype)
        del self._parameters["weight"]
        for name, (shape, kind) in parts.items():
            self.register_buffer(name, torch.empty(shape, dtype=kind, device="meta"))
        self.dtype = dtype
        self.group = group

    def decompress(self) -> None:
        """A plain weight in the place of the packed one; its scale stays."""
        name = "weight_packed" if "weight_packed" in self._buffers else "weight"
        stored = self._buffers[name]
        assert stored is not None
        values = stored
        if name == "weight_packed" and self.group.bits == 4:
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
        if self.group.inputs:
            scale = input.abs().amax(-1, keepdim=True)
            rounded = torch.clamp(torch.round(input / scale), -128, 127)
            input = rounded * scale  # noqa: A001
            del rounded
        return nn.functional.linear(input, self.weight, self.bias)


def compressed(model: PreTrainedModel, published: Published, tracer: Tracer, *, training: bool) -> Loader:  # noqa: ARG001
    """Compressed layers, and a hook on the model that decompresses them. Raises CannotSimulateError."""
    groups = _groups(published)
    _experts_apart(model)
    experts = _experts(model, published, groups)
    for path, module, group in _layers(model, published, groups):
        inputs, outputs = features_of(module)
        parts = compressed_parts(group, inputs, outputs, model.dtype)
        bias = getattr(module, "bias", None) is not None
        layer = CompressedLinear((inputs, outputs), bias, model.dtype, parts, group)
        layer.requires_grad_(False)
        put_in_place(model, path, layer)
    dtype = str(model.dtype).removeprefix("torch.")
    stacks = f"; experts, which it keeps in one parameter, are {dtype} as soon as they are loaded" if experts else ""
    tracer.notes.append(
        f"weights as stored, {published.title}; transformers decompresses them to {dtype} at the first forward, and"
        f" they stay so{stacks}"
    )
    if said := _of_the_cache(published, model):
        tracer.notes.append(said)
    hook: Any = None

    def decompress(root: nn.Module, _: object) -> None:
        hook.remove()
        for path, module in root.named_modules():
            if isinstance(module, CompressedLinear):
                module.decompress()
                tracer.label(module.weight, MemoryKind.BASE_WEIGHTS, path)

    hook = model.register_forward_pre_hook(decompress)

    def arriving(name: str, old: torch.Tensor) -> Any:
        return _stacked(name, old, experts[name]) if name in experts else as_it_is(name, old)

    return Loader(arriving=arriving)


def _of_the_cache(published: Published, model: PreTrainedModel) -> str:
    """What becomes of a ``kv_cache_scheme``, "" without one.

    Source: compressed-tensors 0.20, modeling/kvcache.py, ``QuantizedKVCache``: rounded, and kept in its dtype.
    """
    scheme = published.raw.get("kv_cache_scheme")
    if not isinstance(scheme, Mapping):
        return ""
    bits = f"{scheme['num_bits']} bits" if isinstance(scheme.get("num_bits"), int) else "fewer bits"
    dtype = str(model.dtype).removeprefix("torch.")
    return (
        f"its kv_cache_scheme rounds keys and values to {bits} and back before they are kept: in transformers the cache"
        f" stays in {dtype}"
    )


def dequantized_compressed(model: PreTrainedModel, published: Published, tracer: Tracer) -> Loader:
    """``CompressedTensorsConfig(dequantize=True)``: the parts arrive, and a plain weight is made of them."""
    groups = _groups(published)
    _experts_apart(model)
    experts = _experts(model, published, groups)
    dense = {f"{path}.weight": (module, group) for path, module, group in _layers(model, published, groups)}
    first = dense_group(groups)
    for _, group in dense.values():
        # Of another sort it finds nothing to unpack, of fewer bits too little; else it reads other values.
        fails = (group.stored in BYTES) != (first.stored in BYTES) or group.bits < first.bits
        if fails or (group.bits, group.group_size) != (first.bits, first.group_size):
            what = _REFUSED if fails else "what comes out is wrong"
            raise CannotSimulateError(
                f"transformers dequantizes every layer as {first.title}, and some are in {group.title}: {what}",
                hint="`inspector simulate generate` loads it as it is stored",
            )
    tracer.notes.append(
        f"stored as {published.title}, loaded with dequantize=True: plain weights in {model.dtype}".replace(
            "torch.", ""
        )
    )

    def arriving(name: str, old: torch.Tensor) -> Any:
        if name in experts:
            return _stacked(name, old, experts[name])
        if name not in dense:
            return as_it_is(name, old)
        module, group = dense[name]
        layer = _arrived(group, *features_of(module), old)
        layer.decompress()
        return nn.Parameter(layer.weight.data, requires_grad=old.requires_grad)

    return Loader(arriving=arriving)


def _arrived(group: Group, inputs: int, outputs: int, old: torch.Tensor) -> CompressedLinear:
    """A compressed layer whose parts are on the card."""
    layer = CompressedLinear((inputs, outputs), False, old.dtype, {}, group)
    for part, (shape, dtype) in compressed_parts(group, inputs, outputs, old.dtype).items():
        layer.register_buffer(part, torch.empty(shape, dtype=dtype, device=old.device))
    return layer


def _stacked(name: str, old: torch.Tensor, group: Group) -> Any:
    """A stack of experts: all their parts arrive, each is decompressed into its place, then gate and up are joined."""
    count, rows, columns = old.shape
    halves = 2 if "gate_up" in name else 1
    arrived = [[_arrived(group, columns, rows // halves, old) for _ in range(count)] for _ in range(halves)]
    stacks = []
    for layers in arrived:
        # The first of them stands for all, as each lets go of what it took.
        layers[0].decompress()
        stacks.append(torch.empty((count, rows // halves, columns), dtype=old.dtype, device=old.device))
        layers.clear()
    whole = torch.cat(stacks, dim=1) if halves > 1 else stacks[0]
    return nn.Parameter(whole, requires_grad=old.requires_grad)


def _groups(published: Published) -> tuple[Group, ...]:
    groups = groups_in(published)
    unknown = next((group for group in groups if group.stored not in FORMATS), None)
    if unknown is not None or not groups:
        why = (
            f"the format of {', '.join(unknown.targets)} is not known here"
            if unknown
            else "its config_groups name no weights"
        )
        raise CannotSimulateError(
            f"{published.title} has no dry run: {why}",
            hint="`inspector memory --scheme stored` weighs its files",
        )
    return groups


def _layers(
    model: PreTrainedModel, published: Published, groups: tuple[Group, ...]
) -> list[tuple[str, nn.Module, Group]]:
    """The layers that a group packs. Raises CannotSimulateError where there are none."""
    found: list[tuple[str, nn.Module, Group]] = []
    for path, module in model.named_modules():
        if not isinstance(module, nn.Linear | nn.Embedding):
            continue
        group = group_of(published, groups, path, {cls.__name__ for cls in type(module).__mro__})
        if group is not None and isinstance(module, nn.Embedding):
            raise CannotSimulateError(f"{published.title} packs {path}: embeddings have no dry run in this format")
        if group is not None:
            found.append((path, module, group))
    if not found:
        raise CannotSimulateError(f"{published.title} packs no layer of this {type(model).__name__}")
    return found


def _experts(model: nn.Module, published: Published, groups: tuple[Group, ...]) -> dict[str, Group]:
    """The stacks of experts that are packed, by their parameters' names. Raises CannotSimulateError.

    What transformers does not convert: integers of a byte, for which it finds no packed values; blocks, whose scales it
    multiplies with as if they were rows; zero points, which it leaves out.
    """
    found = {}
    for path, module in fused_experts(model):
        group = group_of_experts(published, groups, path)
        if group is None:
            continue
        floats = group.stored in BYTES and group.weights.get("type") == "float"
        rows = group.weights.get("strategy") in {"channel", "tensor"}
        packed = group.stored not in BYTES and group.weights.get("symmetric") is not False
        if not (packed or (floats and rows)):
            raise CannotSimulateError(
                f"transformers does not load experts in {group.title}: {_REFUSED}",
                hint="`inspector memory` weighs such a checkpoint",
            )
        found.update({f"{path}.{name}": group for name, weight in module.named_parameters() if weight.dim() == 3})
    return found


def _experts_apart(model: PreTrainedModel) -> None:
    """Experts that transformers takes apart for this format: Llama 4's (quantizers/base.py)."""
    from transformers.quantizers.base import MODULES_TO_PATCH_FOR_QUANTIZATION as APART

    for path, module in list(model.named_modules()):
        if (patch := APART.get(type(module).__name__)) and "compressed-tensors" in patch["quantization_methods"]:
            with torch.device("meta"):
                apart = patch["module_name"](model.config.get_text_config())
            put_in_place(model, path, apart.to(model.dtype))
