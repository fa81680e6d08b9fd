"""torchao as transformers' ``TorchAoConfig`` applies it: all ``nn.Linear`` but the head become tensor subclasses.

What each keeps is read off the class: ``Int4Tensor`` (plain packing, the default), ``Int8Tensor``, ``Float8Tensor`` and
``IntxUnpackedToInt8Tensor`` under torchao ``quantization/quantize_/workflows`` (0.18). To
``element_size()`` a subclass is bfloat16, so transformers' ``get_memory_footprint()`` prints the unquantized size; ours
counts the values alone.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.precision.base import Piece
from inspector.precision.packed import Packed

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspector.precision.torchao_config import TorchaoConfig

_LONG = {
    "int4_weight_only": "int4wo", "int8_weight_only": "int8wo", "float8_weight_only": "float8wo",
    "int8_dynamic_activation_int8_weight": "int8dq", "float8_dynamic_activation_float8_weight": "float8dq",
    "int8_dynamic_activation_int4_weight": "int8da4w",
}  # fmt: skip
"""torchao's long names, as earlier ``TorchAoConfig`` took them, by the short ones of its benchmarks."""


def _int4(rows: int, columns: int, _bits: int, group: int) -> tuple[Piece, ...]:
    """``Int4Tensor``: two a byte, scale and zero point in bfloat16.

    Read off the class and its README's size: ``from_hp`` needs mslk >= 1.0, and PyPI has an empty 0.0.0.
    """
    groups = rows * math.ceil(columns / group)
    return (
        Piece("weight", "uint8", rows * columns // 2),
        Piece("scale", "bfloat16", groups, in_footprint=False),
        Piece("zero_point", "bfloat16", groups, in_footprint=False),
    )


def _int4_tiles(rows: int, columns: int, _bits: int, group: int) -> tuple[Piece, ...]:
    """``Int4TilePackedTo4dTensor``: inputs padded to multiples of 1,024, outputs to multiples of 8, scales too."""
    rows, columns = tiles_of(rows, columns)
    return (
        Piece("weight", "int32", rows * columns // 8),
        Piece("scale_and_zero", "bfloat16", 2 * rows * math.ceil(columns / group), in_footprint=False),
    )


def tiles_of(rows: int, columns: int) -> tuple[int, int]:
    """Outputs and inputs as tinygemm's tiles have them. Source: int4_tile_packed_to_4d_tensor.py, ``from_hp``."""
    return -(-rows // 8) * 8, -(-columns // 1024) * 1024


def _int8(rows: int, columns: int, _bits: int, group: int) -> tuple[Piece, ...]:
    """``Int8Tensor``: a scale a row or a group in float32, and a zero point in int8 although it is symmetric."""
    scales = rows * math.ceil(columns / group)
    return (
        Piece("weight", "int8", rows * columns),
        Piece("scale", "float32", scales, in_footprint=False),
        Piece("zero_point", "int8", scales, in_footprint=False),
    )


def _float8(rows: int, columns: int, _bits: int, _group: int) -> tuple[Piece, ...]:
    """``Float8Tensor``, by rows."""
    return (Piece("weight", "float8_e4m3fn", rows * columns), Piece("scale", "float32", rows, in_footprint=False))


def _unpacked(rows: int, columns: int, _bits: int, group: int) -> tuple[Piece, ...]:
    """``IntxUnpackedToInt8Tensor``: a whole byte for each 4-bit value until it is exported."""
    groups = rows * math.ceil(columns / group)
    return (
        Piece("weight", "int8", rows * columns),
        Piece("scale", "bfloat16", groups, in_footprint=False),
        Piece("zero_point", "int8", groups, in_footprint=False),
    )


# With the group size that is the default of each config; -1 is one scale a row.
_KINDS: dict[str, tuple[int, int, str, Callable[[int, int, int, int], tuple[Piece, ...]]]] = {
    "int4wo": (4, 128, "Int4WeightOnlyConfig", _int4),
    "int8wo": (8, -1, "Int8WeightOnlyConfig", _int8),
    "int8dq": (8, -1, "Int8DynamicActivationInt8WeightConfig", _int8),
    "float8wo": (8, -1, "Float8WeightOnlyConfig", _float8),
    "float8dq": (8, -1, "Float8DynamicActivationFloat8WeightConfig by rows", _float8),
    "int8da4w": (4, 32, "Int8DynamicActivationIntxWeightConfig", _unpacked),
    "intxwo": (8, -1, "IntxWeightOnlyConfig", _unpacked),
}
KINDS = tuple(_KINDS)


def torchao(rest: str) -> Packed:
    """A scheme by what follows ``torchao:``, such as ``int4wo:64``. Raises InspectorError for an unknown one."""
    said, _, size = rest.partition(":")
    kind = _LONG.get(said, said) or "int4wo"
    if kind not in _KINDS:
        raise InspectorError(f"torchao has no {said[:40]!r} here", hint=f"choose one of {', '.join(KINDS)}")
    bits, usual, config, layout = _KINDS[kind]
    # The sizes that Int4WeightOnlyConfig takes.
    if size and (usual == -1 or size not in {"32", "64", "128", "256"}):
        hint = "it has one scale a row" if usual == -1 else f"write torchao:{kind}:32, :64, :128 or :256"
        raise InspectorError(f"{size[:40]!r} is no group size of torchao:{kind}", hint=hint)
    group = int(size) if size else usual
    name = f"torchao:{kind}" if usual == -1 else f"torchao:{kind}:{group}"
    title = f"torchao {config}, the rest in bfloat16"
    return Packed(name, bits, title, "bfloat16", f"torchao {config}", group, layout)


def torchao_as_published(config: TorchaoConfig) -> Packed:
    """The scheme of a checkpoint whose config says more than a name: its groups, and how int4 is packed."""
    scheme = torchao(config.kind)
    layout = _int4_tiles if config.packing == "tile_packed_to_4d" else scheme.layout

    def of_one_scale(rows: int, columns: int, bits: int, group: int) -> tuple[Piece, ...]:
        weight, *constants = layout(rows, columns, bits, group)
        return (weight, *(replace(piece, numel=1) for piece in constants))

    return replace(scheme, group=config.group, layout=layout if config.group else of_one_scale)
