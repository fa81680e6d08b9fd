"""Which ggml type ``llama-quantize`` gives a tensor under a file type. Plain facts in, a name out.

Source: ``llama_tensor_get_type`` and ``llama_model_quantize_impl`` in llama.cpp's src/llama-quant.cpp; without an
importance matrix, which the types of under 3 bits need and which are therefore not predicted.
"""

from __future__ import annotations

from dataclasses import dataclass

FILE_TYPES: dict[str, tuple[int, str]] = {
    "f32": (32, "F32"), "f16": (16, "F16"), "bf16": (16, "BF16"), "q8_0": (8, "Q8_0"), "q6_k": (6, "Q6_K"),
    "q5_k_m": (5, "Q5_K"), "q5_k_s": (5, "Q5_K"), "q5_1": (5, "Q5_1"), "q5_0": (5, "Q5_0"),
    "q4_k_m": (4, "Q4_K"), "q4_k_s": (4, "Q4_K"), "q4_1": (4, "Q4_1"), "q4_0": (4, "Q4_0"),
    "iq4_nl": (4, "IQ4_NL"), "iq4_xs": (4, "IQ4_XS"), "mxfp4_moe": (4, "MXFP4"),
    "q3_k_l": (3, "Q3_K"), "q3_k_m": (3, "Q3_K"), "q3_k_s": (3, "Q3_K"),
    "iq3_m": (3, "IQ3_S"), "iq3_s": (3, "IQ3_S"), "iq3_xs": (3, "IQ3_S"), "q2_k": (2, "Q2_K"), "q2_k_s": (2, "Q2_K"),
}  # fmt: skip
"""File types that can be predicted: bits its name promises, and the type most tensors get."""

_SUPER = 256
_BLOCKS = {"Q8_0": 32, "Q5_0": 32, "Q5_1": 32, "Q4_0": 32, "Q4_1": 32, "IQ4_NL": 32, "MXFP4": 32}
_SMALLER_BLOCK = {
    "Q2_K": "IQ4_NL", "Q3_K": "IQ4_NL", "IQ3_S": "IQ4_NL", "IQ3_XXS": "IQ4_NL", "IQ4_XS": "IQ4_NL",
    "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
}  # fmt: skip
"""What a tensor gets whose rows its type's blocks of 256 do not divide."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the rules look at: llama.cpp's name of the tensor, its row length, and where in the model it is."""

    name: str
    columns: int
    stacked: bool
    value_index: int
    values: int
    down_index: int
    downs: int
    heads_a_value: int
    experts: int
    layers: int
    falcon: bool
    is_output: bool


def chosen_type(file_type: str, place: Place) -> str:
    """The ggml type of a matrix; plain float file types are the same for all."""
    usual = FILE_TYPES[file_type][1]
    if usual in {"F32", "F16", "BF16"}:
        return usual
    return _fitting(_by_role(file_type, usual, place), place.columns)


def _by_role(file_type: str, usual: str, place: Place) -> str:  # noqa: C901, PLR0911 -- one line a role
    name = place.name
    if place.is_output:
        if file_type == "mxfp4_moe" or place.falcon or place.columns % _BLOCKS.get(usual, _SUPER):
            return "Q8_0"
        return usual if usual == "Q8_0" else "Q6_K"
    if file_type == "mxfp4_moe":
        return "MXFP4" if place.stacked else "Q8_0"
    if "attn_v." in name:
        return _value(file_type, usual, place)
    if "attn_k." in name:
        return "Q8_0" if place.experts == 8 else "IQ3_XXS" if file_type == "iq3_xs" else usual
    if "attn_q." in name:
        return "IQ3_XXS" if file_type == "iq3_xs" else usual
    if "ffn_down" in name:
        return _down(file_type, usual, place)
    if "attn_output." in name:
        return _output(file_type, usual, place)
    if "attn_qkv." in name:
        mixed = {"q3_k_m": "Q4_K", "q3_k_l": "Q4_K", "iq3_m": "Q4_K", "q4_k_m": "Q5_K", "q5_k_m": "Q6_K"}
        return mixed.get(file_type, usual)
    if "ffn_gate" in name or "ffn_up" in name:
        middle = place.layers // 8 <= _block(name) < 7 * place.layers // 8
        return "IQ3_XXS" if file_type == "iq3_xs" and middle else usual
    return usual


def _value(file_type: str, usual: str, place: Place) -> str:
    """The value projection: small where heads share it, so it gets more bits."""
    if place.experts == 8:
        return "Q8_0"
    shared, index = place.heads_a_value >= 4, place.value_index
    chosen = usual
    if file_type == "q2_k":
        chosen = "Q4_K" if shared else "Q3_K"
    elif (file_type in {"q2_k_s", "iq3_xs", "iq3_s"} and shared) or file_type == "iq3_m":
        chosen = "Q4_K"
    elif file_type == "q3_k_m":
        chosen = "Q5_K" if index < 2 else "Q4_K"
    elif file_type == "q3_k_l" or (file_type in {"iq4_nl", "iq4_xs"} and shared):
        chosen = "Q5_K"
    elif file_type in {"q4_k_m", "q5_k_m"} and _more_bits(index, place.values):
        chosen = "Q6_K"
    elif file_type == "q4_k_s" and index < 4:
        chosen = "Q5_K"
    seventy = place.layers == 80 and place.heads_a_value > 1
    return "Q5_K" if seventy and chosen in {"Q3_K", "Q4_K"} else chosen


def _down(file_type: str, usual: str, place: Place) -> str:
    """The MLP's last projection: more bits in the first and last layers."""
    index, count = (_block(place.name), place.downs) if place.experts > 1 else (place.down_index, place.downs)
    first, more = index < count // 8, _more_bits(index, count)
    if file_type == "q3_k_m":
        return "Q5_K" if index < count // 16 else "Q4_K" if not place.falcon or more else "Q3_K"
    if file_type == "q4_k_m" and place.falcon:
        return "Q6_K" if index < count // 16 else "Q5_K" if more else "Q4_K"
    if file_type == "iq3_m" and (first or (place.experts == 8 and more)):
        return "Q4_K"
    if file_type in {"q4_k_m", "q5_k_m"} and more:
        return "Q6_K"
    if first and (file_type in {"iq4_nl", "iq4_xs"} or (file_type == "q4_k_s" and not place.falcon)):
        return "Q5_K"
    if file_type == "q2_k_s" and first:
        return "Q4_K"
    always = {"q2_k": "Q3_K", "q3_k_l": "Q4_K" if place.falcon else "Q5_K"}
    return always.get(file_type, usual)


def _output(file_type: str, usual: str, place: Place) -> str:
    """Attention's output projection."""
    if place.falcon:
        return "Q4_K" if file_type == "q3_k_l" else usual
    if place.experts == 8:
        raised = {"q2_k", "iq3_xs", "q3_k_s", "q3_k_m", "iq4_nl", "q4_k_s", "q4_k_m", "iq3_s", "iq3_m", "iq4_xs"}
        return "Q5_K" if file_type in raised else usual
    return {"q2_k": "Q3_K", "q3_k_m": "Q4_K", "q3_k_l": "Q5_K", "iq3_m": "Q4_K"}.get(file_type, usual)


def _more_bits(index: int, count: int) -> bool:
    """llama.cpp's ``use_more_bits``: the first and last eighth, and every third between."""
    return index < count // 8 or index >= 7 * count // 8 or (index - count // 8) % 3 == 2


def _block(name: str) -> int:
    """The number in ``blk.7.ffn_down.weight``."""
    parts = name.split(".")
    return int(parts[1]) if len(parts) > 2 and parts[1].isdecimal() else 0


def _fitting(kind: str, columns: int) -> str:
    """The type, or the one that takes its place when rows are no whole number of its blocks."""
    if columns % _BLOCKS.get(kind, _SUPER) == 0:
        return kind
    kind = _SMALLER_BLOCK.get(kind, "F16")
    return kind if kind != "F16" and columns % _BLOCKS[kind] == 0 else "F16"
