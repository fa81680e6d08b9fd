"""compressed-tensors: which group of a config packs a layer, and the parts that are stored of it.

Sources: compressed-tensors 0.20 utils/match.py (targets), compressors/*/base.py (parts), and transformers 5.23
integrations/compressed_tensors.py, ``get_experts_scheme`` and ``get_dense_scheme``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from inspector.precision.base import Piece, Scheme
from inspector.precision.packed import EXPERTS_PACKED, is_stack, linears_of
from inspector.precision.published import block_sizes
from inspector.skeleton.patterns import compiled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from inspector.precision.published import Published
    from inspector.skeleton import Module, Skeleton, Tensor

Parts = dict[str, tuple[tuple[int, ...], str]]
"""Shape and dtype of each part that is stored of a linear layer, by the library's names."""

BYTES = {"float-quantized", "naive-quantized", "int-quantized"}
"""Formats of a byte a weight."""
FORMATS = (*sorted(BYTES), "pack-quantized", "nvfp4-pack-quantized", "mxfp4-pack-quantized")
"""Formats whose parts are known here."""

_EXPERT = ("0.gate_proj", "0.up_proj", "0.down_proj", "0.w1", "0.w2", "0.w3")
"""Names of the linear layers of an expert, as checkpoints have them."""


@dataclass(frozen=True)
class Group:
    """One of a config's ``config_groups``: its targets, how their weights are stored, and in which format.

    ``inputs`` says whether activations are rounded too; ``static``, by a scale that is stored.
    """

    targets: tuple[str, ...]
    weights: Mapping[str, Any]
    stored: str
    inputs: bool
    static: bool

    @property
    def bits(self) -> int:
        """Bits of a weight."""
        bits = self.weights.get("num_bits")
        return bits if isinstance(bits, int) and not isinstance(bits, bool) and 1 <= bits <= 8 else 8

    @property
    def group_size(self) -> int:
        """Weights that share a scale; 0 for whole rows, blocks and tensors."""
        size = self.weights.get("group_size")
        return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else 0

    @property
    def of_experts(self) -> bool:
        """Whether its targets single out experts."""
        return any(target.startswith("re:") and "experts" in target for target in self.targets)

    @property
    def title(self) -> str:
        """Its format and bits."""
        return f"{self.stored or 'a format that is not named'} in {self.bits} bits"


def groups_in(published: Published) -> tuple[Group, ...]:
    """The groups of a config that quantize weights, in its order."""
    found = published.raw.get("config_groups")
    groups = []
    for group in found.values() if isinstance(found, Mapping) else ():
        if not isinstance(group, Mapping) or not isinstance(weights := group.get("weights"), Mapping):
            continue
        targets, inputs = group.get("targets"), group.get("input_activations")
        stored = str(group.get("format") or published.raw.get("format") or "")
        inputs = inputs if isinstance(inputs, Mapping) else None
        groups.append(
            Group(
                targets=tuple(map(str, targets)) if isinstance(targets, list) else (),
                weights=weights,
                stored=stored if stored in FORMATS else _format(weights, rounded=inputs is not None),
                inputs=inputs is not None,
                # "local" of NVFP4 has a global scale in the file too.
                static=inputs is not None and inputs.get("dynamic", False) is not True,
            )
        )
    return tuple(groups)


def _format(weights: Mapping[str, Any], *, rounded: bool) -> str:
    """The format of a group that names none, or ``mixed-precision`` (compressors/format.py)."""
    bits, floats = weights.get("num_bits"), weights.get("type") == "float"
    if floats and bits == 4:
        return {16: "nvfp4-pack-quantized", 32: "mxfp4-pack-quantized"}.get(weights.get("group_size") or 0, "")
    if floats:
        return "float-quantized" if bits == 8 else ""
    return "int-quantized" if rounded and bits == 8 else "pack-quantized"


def group_of(published: Published, groups: Iterable[Group], path: str, classes: Collection[str]) -> Group | None:
    """The group of a module: an exact name before a pattern, a pattern before a class; None for what is left alone."""
    ignored = published.kept or ()
    if any(_named(target, path) or target in classes for target in ignored):
        return None
    by_target = {target: group for group in groups for target in group.targets}
    targets = sorted(by_target, key=lambda target: ("re:" in target, target))
    named = [target for target in targets if _named(target, path)]
    return next((by_target[target] for target in (*named, *(t for t in targets if t in classes))), None)


def group_of_experts(published: Published, groups: tuple[Group, ...], path: str) -> Group | None:
    """The group of a stack of experts, whose linear layers the checkpoint has one by one; None where it packs none."""
    paths = {path, path.replace(".mlp.", ".block_sparse_moe.")}
    linear = [f"{name}.{leaf}" for name in sorted(paths) for leaf in _EXPERT]
    if not any(group_of(published, groups, name, {"Linear"}) for name in linear):
        return None
    by_class = (group for group in groups if any(not target.startswith("re:") for target in group.targets))
    return next((group for group in groups if group.of_experts), None) or next(by_class, groups[0])


def dense_group(groups: tuple[Group, ...]) -> Group:
    """The one group by which transformers dequantizes every layer but the experts."""
    return next((group for group in groups if not group.of_experts), groups[0])


def _named(target: str, path: str) -> bool:
    if not target.startswith("re:"):
        return target == path
    found = compiled(target[3:])
    return found is not None and found.match(path) is not None


def parts_of(group: Group, inputs: int, outputs: int, dtype: str) -> Parts:
    """What is stored of a linear layer; ``dtype`` is the model's. Raises InspectorError for blocks of no sizes."""
    wide = -(-inputs // group.group_size) if group.group_size else 1
    scale = (1,) if group.weights.get("strategy") == "tensor" else (outputs, wide)
    if blocks := block_sizes(group.weights.get("block_structure")):
        scale = (-(-outputs // blocks[0]), -(-inputs // blocks[1]))
    if group.stored == "pack-quantized":
        parts: Parts = {
            "weight_packed": ((outputs, -(-inputs * group.bits // 32)), "int32"),
            "weight_scale": (scale, dtype),
            "weight_shape": ((2,), "int64"),
        }
        if group.weights.get("symmetric") is False:
            parts["weight_zero_point"] = ((-(-outputs * group.bits // 32), wide), "int32")
    elif group.stored == "nvfp4-pack-quantized":
        parts = {
            "weight_packed": ((outputs, inputs // 2), "uint8"),
            "weight_scale": (scale, "float8_e4m3fn"),
            "weight_global_scale": ((1,), "float32"),
        }
    elif group.stored == "mxfp4-pack-quantized":
        parts = {"weight_packed": ((outputs, inputs // 2), "uint8"), "weight_scale": (scale, "uint8")}
    else:
        value = "float8_e4m3fn" if group.weights.get("type") == "float" else "int8"
        parts = {"weight": ((outputs, inputs), value), "weight_scale": (scale, dtype)}
    if group.static and group.stored == "nvfp4-pack-quantized":
        parts["input_global_scale"] = ((1,), "float32")
    elif group.static:
        parts["input_scale"] = ((1,), dtype)
    return parts


@dataclass(frozen=True)
class Compressed(Scheme):
    """What a compressed-tensors checkpoint stores, each module by its group."""

    published: Published
    groups: tuple[Group, ...]

    def _group(self, module: Module, tensor: Tensor) -> Group | None:
        if not tensor.is_parameter:
            return None
        if is_stack(module, tensor):
            return group_of_experts(self.published, self.groups, module.path)
        if module.base != "Linear" or not tensor.name.endswith("weight"):
            return None
        return group_of(self.published, self.groups, module.path, {module.cls, module.base})

    def quantizes(self, module: Module, tensor: Tensor) -> bool:
        """Whether a group packs it."""
        return self._group(module, tensor) is not None

    def quantized(self, module: Module, tensor: Tensor) -> tuple[Piece, ...]:
        """The parts of its group's format; of a stack, those of every linear layer in it."""
        group = self._group(module, tensor)
        assert group is not None
        layers, outputs, inputs = linears_of(module, tensor) if is_stack(module, tensor) else (1, *tensor.shape)
        pieces = []
        for name, (shape, dtype) in parts_of(group, inputs, outputs, self.rest).items():
            role = "weight" if name in {"weight", "weight_packed"} else name
            pieces.append(Piece(role, dtype, layers * math.prod(shape), storages=layers))
        return tuple(pieces)

    def said_of(self, skeleton: Skeleton) -> tuple[str, ...]:
        """What becomes of fused experts, where it packs some."""
        stacks = (skeleton.module_of(tensor) for tensor in skeleton.parameters if len(tensor.shape) == 3)
        if not any(group_of_experts(self.published, self.groups, module.path) for module in stacks):
            return ()
        return (EXPERTS_PACKED,)


def compressed_as_published(published: Published, _: Skeleton) -> Compressed | None:
    """The scheme of a config; None for formats that are not known here."""
    groups = groups_in(published)
    if not groups or any(group.stored not in FORMATS for group in groups):
        return None
    bits = min(group.bits for group in groups)
    said = ", ".join(dict.fromkeys(group.title for group in groups))
    return Compressed("published", bits, said, "bfloat16", f"compressed-tensors {said}", published, groups)
