"""Which ggml type ``llama-quantize`` gives a tensor under a file type. Plain facts in, a name out.

Source: ``llama_tensor_get_type_impl``, ``tensor_type_fallback`` and ``llama_ftype_get_default_type`` in llama.cpp's
src/llama-quant.cpp (commit 007dbbf3). The file types in `NEED_MATRIX` need an importance matrix, without which
``llama-quantize`` refuses them, so they are predicted with one; all others without. Earlier versions gave a fused
``attn_qkv`` rules of its own; now it has those of the value projection.
"""

from __future__ import annotations

from dataclasses import dataclass

FILE_TYPES: dict[str, tuple[int, str]] = {
    "f32": (32, "F32"), "f16": (16, "F16"), "bf16": (16, "BF16"), "q8_0": (8, "Q8_0"), "q6_k": (6, "Q6_K"),
    "q5_k_m": (5, "Q5_K"), "q5_k_s": (5, "Q5_K"), "q5_1": (5, "Q5_1"), "q5_0": (5, "Q5_0"),
    "q4_k_m": (4, "Q4_K"), "q4_k_s": (4, "Q4_K"), "q4_1": (4, "Q4_1"), "q4_0": (4, "Q4_0"),
    "iq4_nl": (4, "IQ4_NL"), "iq4_xs": (4, "IQ4_XS"), "mxfp4_moe": (4, "MXFP4"),
    "q3_k_l": (3, "Q3_K"), "q3_k_m": (3, "Q3_K"), "q3_k_s": (3, "Q3_K"),
    "iq3_m": (3, "IQ3_S"), "iq3_s": (3, "IQ3_S"), "iq3_xs": (3, "IQ3_S"), "iq3_xxs": (3, "IQ3_XXS"),
    "q2_k": (2, "Q2_K"), "q2_k_s": (2, "Q2_K"), "iq2_m": (2, "IQ2_S"), "iq2_s": (2, "IQ2_XS"),
    "iq2_xs": (2, "IQ2_XS"), "iq2_xxs": (2, "IQ2_XXS"), "iq1_m": (1, "IQ1_M"), "iq1_s": (1, "IQ1_S"),
}  # fmt: skip
"""File types that can be predicted: bits its name promises, and the type most tensors get."""

_LOW = frozenset({"iq2_m", "iq2_s", "iq2_xs", "iq2_xxs", "iq1_m", "iq1_s"})
"""Of about two bits and fewer: they have rules of their own for all but the output."""

NEED_MATRIX = _LOW | {"iq3_xxs", "iq3_xs", "q2_k_s"}
"""They have tensors that ``tensor_requires_imatrix`` is true of."""

_EMBEDDING = {**dict.fromkeys(("iq2_xxs", "iq2_xs", "iq1_s", "iq1_m"), "Q2_K"),
              **dict.fromkeys(("iq2_s", "iq2_m", "iq3_xxs"), "IQ3_S")}  # fmt: skip

# Values in a block of the K-quants, and of the i-quants but IQ4_NL (`QK_K` in ggml-common.h).
_SUPER = 256
_BLOCKS = {"Q8_0": 32, "Q5_0": 32, "Q5_1": 32, "Q4_0": 32, "Q4_1": 32, "IQ4_NL": 32, "MXFP4": 32}
_SMALLER_BLOCK = {
    "IQ1_S": "IQ4_NL", "IQ1_M": "IQ4_NL", "IQ2_XXS": "IQ4_NL", "IQ2_XS": "IQ4_NL", "IQ2_S": "IQ4_NL",
    "IQ3_XXS": "IQ4_NL", "IQ3_S": "IQ4_NL", "IQ4_XS": "IQ4_NL", "Q2_K": "Q4_0", "Q3_K": "Q4_0",
    "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0",
}  # fmt: skip
"""What a tensor gets whose rows its type's blocks of 256 do not divide."""


VALUES = ("attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight")
"""Endings of the names of tensors that the value projection is, or is a part of (``category_is_attn_v``)."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the rules look at: llama.cpp's name of the tensor, its row length, and where in the model it is."""

    name: str
    columns: int
    stacked: bool
    value_index: int
    values: int
    down_index: int
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
    # First, as a tied embedding is the output too and must not get the embedding's rule.
    if place.is_output:
        if file_type == "mxfp4_moe" or place.falcon or place.columns % _BLOCKS.get(usual, _SUPER):
            return "Q8_0"
        if file_type in _LOW or file_type == "iq3_xxs":
            return "Q5_K"
        return usual if usual == "Q8_0" else "Q6_K"
    if file_type == "mxfp4_moe":
        return "MXFP4" if place.stacked else "Q8_0"
    if name in {"token_embd.weight", "per_layer_token_embd.weight"}:
        return _EMBEDDING.get(file_type, usual)
    if file_type in _LOW:
        return _low(file_type, usual, place)
    if name.endswith(VALUES):
        return _value(file_type, usual, place)
    # Mixtral: beside eight experts attention is so small that eight bits for it hardly show in the file.
    if "attn_k." in name and place.experts == 8:
        return "Q8_0"
    if "attn_k." in name or "attn_q." in name:
        return {"iq3_xs": "IQ3_XXS", "iq3_xxs": "IQ2_S"}.get(file_type, usual)
    if "ffn_down" in name:
        return _down(file_type, usual, place)
    if "attn_output." in name:
        return _output(file_type, usual, place)
    if "ffn_gate" in name or "ffn_up" in name:
        middle = place.layers // 8 <= _block(name) < 7 * place.layers // 8
        return "IQ3_XXS" if file_type == "iq3_xs" and middle else usual
    return usual


def _low(file_type: str, usual: str, place: Place) -> str:
    """File types of about two bits and fewer."""
    name, more = place.name, "IQ3_S" if file_type in {"iq2_s", "iq2_m"} else "Q2_K"
    if name.endswith(VALUES):
        return "Q4_K" if place.heads_a_value >= 4 or place.experts >= 4 else more
    if "attn_k." in name and place.experts == 8:
        return "Q4_K"
    if "ffn_down" in name:
        return more if place.down_index < place.layers // 8 else usual
    if "attn_output." in name:
        few = {"iq1_s": "IQ2_XXS", "iq1_m": "IQ2_XXS", "iq2_s": "IQ3_S", "iq2_m": "IQ3_S"}
        return "Q5_K" if place.experts == 8 else few.get(file_type, usual)
    return usual


def _value(file_type: str, usual: str, place: Place) -> str:
    """The value projection: small where heads share it, so it gets more bits."""
    # As for the keys: beside eight experts it hardly shows.
    if place.experts == 8:
        return "Q8_0"
    shared, index = place.heads_a_value >= 4, place.value_index
    chosen = usual
    if file_type == "q2_k":
        chosen = "Q4_K" if shared else "Q3_K"
    elif (file_type in {"q2_k_s", "iq3_xxs", "iq3_xs", "iq3_s"} and shared) or file_type == "iq3_m":
        chosen = "Q4_K"
    elif file_type == "q3_k_m":
        chosen = "Q5_K" if index < 2 else "Q4_K"
    elif file_type == "q3_k_l" or (file_type in {"iq4_nl", "iq4_xs"} and shared):
        chosen = "Q5_K"
    elif file_type in {"q4_k_m", "q5_k_m"} and _more_bits(index, place.values):
        chosen = "Q6_K"
    elif file_type == "q4_k_s" and index < 4:
        chosen = "Q5_K"
    # llama.cpp's `LLM_TYPE_70B`: with 80 layers and value heads of its own for each query, it would be a 65B.
    # Eight query heads share one of its values, so more bits for them cost next to nothing.
    seventy = place.layers == 80 and place.heads_a_value > 1
    return "Q5_K" if seventy and chosen in {"Q3_K", "Q4_K"} else chosen


def _down(file_type: str, usual: str, place: Place) -> str:
    """The MLP's last projection: more bits in the first and last layers."""
    # With experts, by the name: files made expert by expert did not have them in the order of the layers.
    index, count = _block(place.name) if place.experts > 1 else place.down_index, place.layers
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
        raised = {
            "q2_k",
            "iq3_xxs",
            "iq3_xs",
            "q3_k_s",
            "q3_k_m",
            "iq4_nl",
            "q4_k_s",
            "q4_k_m",
            "iq3_s",
            "iq3_m",
            "iq4_xs",
        }
        return "Q5_K" if file_type in raised else usual
    most = {"q2_k": "Q3_K", "q3_k_m": "Q4_K", "q3_k_l": "Q5_K", "iq3_m": "Q4_K", "iq3_xxs": "IQ3_S"}
    return most.get(file_type, usual)


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
    # Neither size of block fits: F16 has none, so it always does.
    return kind if kind != "F16" and columns % _BLOCKS[kind] == 0 else "F16"
