"""What a ``TorchAoConfig`` says of a checkpoint: the kind of its weights, their groups and how int4 is packed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_KINDS = {
    "int4weightonlyconfig": "int4wo", "int8weightonlyconfig": "int8wo", "float8weightonlyconfig": "float8wo",
    "int8dynamicactivationint8weightconfig": "int8dq", "float8dynamicactivationfloat8weightconfig": "float8dq",
    "int8dynamicactivationintxweightconfig": "int8da4w", "int4_weight_only": "int4wo", "int8_weight_only": "int8wo",
    "float8_weight_only": "float8wo", "int8_dynamic_activation_int8_weight": "int8dq",
    "float8_dynamic_activation_float8_weight": "float8dq", "int8_dynamic_activation_int4_weight": "int8da4w",
    "intxweightonlyconfig": "intxwo",
}  # fmt: skip
KNOWN = tuple(name for name in _KINDS if "_" in name)
"""The names of the kinds that are known here, as ``TorchAoConfig`` took them in words."""

_INTX = {"int8da4w", "intxwo"}
"""Kinds of 1 to 8 bits, each value in a byte of its own."""

_GROUPS = {"int4wo": 128, "int8da4w": 32}
"""The group sizes that torchao's configs have by default; the others have one scale a row."""


@dataclass(frozen=True, slots=True)
class TorchaoConfig:
    """A kind by its short name ("" for one that is not known here), its group (-1 a whole row, 0 a whole tensor).

    ``packing`` is the ``int4_packing_format``, or one of the other that is made for CPUs; empty for kinds that have
    none.
    """

    kind: str
    group: int
    packing: str = ""


def torchao_config(raw: Mapping[str, Any]) -> TorchaoConfig:
    """Read ``quant_type``: a name, or ``{"default": {"_type": ..., "_data": {...}}}``.

    Source: torchao 0.18, core/config.py, ``config_to_dict``, and the configs of quantization/quant_api.py.
    """
    said, data = raw.get("quant_type"), raw.get("quant_type_kwargs")
    if isinstance(said, Mapping):
        inner = said.get("default", said)
        inner = inner if isinstance(inner, Mapping) else {}
        said, data = inner.get("_type"), inner.get("_data")
    data = data if isinstance(data, Mapping) else {}
    kind = _KINDS.get(str(said).lower(), "")
    packing = _word(data.get("int4_packing_format")) or "plain" if kind == "int4wo" else ""
    if kind in _INTX:
        packing = _word(data.get("intx_packing_format")).replace("unpacked_to_int8", "")
    return TorchaoConfig(kind, _group(kind, data), packing)


def _group(kind: str, data: Mapping[str, Any]) -> int:
    """Weights that share a scale, as ``group_size`` or a granularity says; activations' granularity comes first."""
    size = data.get("group_size")
    if kind in _GROUPS and isinstance(size, int) and not isinstance(size, bool) and 0 < size <= 65536:
        return size
    said = data.get("weight_granularity", data.get("granularity"))
    said = said[-1] if isinstance(said, list) and said else said
    name = str(said.get("_type") or "") if isinstance(said, Mapping) else ""
    inner = said.get("_data") if isinstance(said, Mapping) else None
    size = inner.get("group_size") if isinstance(inner, Mapping) else None
    if name == "PerGroup" and isinstance(size, int) and not isinstance(size, bool) and 0 < size <= 65536:
        return size
    if name in {"PerTensor", "PerRow", "PerAxis"}:
        return 0 if name == "PerTensor" else -1
    # A granularity that is not said: one scale a tensor for float8 activations (``_normalize_granularity``).
    return 0 if kind == "float8dq" else _GROUPS.get(kind, -1)


def _word(value: object) -> str:
    """A member of an enum by its value: torchao writes ``{"_type": "Int4PackingFormat", "_data": "PLAIN"}``."""
    said = value.get("_data") if isinstance(value, Mapping) else value
    return said.lower() if isinstance(said, str) else ""
