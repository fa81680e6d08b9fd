"""Which share of each tensor lies on one rank of an engine: columns, rows, heads, vocabulary, experts, or all of it.

Sources: vLLM model_executor/layers/linear.py (``ColumnParallelLinear``, ``RowParallelLinear``, ``QKVParallelLinear``),
vocab_parallel_embedding.py (``pad_vocab_size``, 64), fused_moe/layer.py; SGLang's layers are the same by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from inspector.skeleton.skeleton import in_tower

if TYPE_CHECKING:
    from inspector.skeleton import Module, Skeleton, Tensor

VOCABULARY = 64
"""Rows of an embedding or a head are padded to a multiple (``DEFAULT_VOCAB_PADDING_SIZE``)."""

_COLUMNS = re.compile(
    r"(^|[.])(q_proj|q_b_proj|kv_b_proj|gate_proj|up_proj|gate_up_proj|fc1|fc_in|c_fc|dense_h_to_4h|w1|w3|wi|wi_0|wi_1|"
    r"in_proj\w*|linear_fc1|query|conv1d|[qkvfg]_conv1d|[fg]_b_proj|b_proj|A_log|dt_bias|D|g_proj|linear_1)$"
)
_ROWS = re.compile(
    r"(^|[.])(o_proj|out_proj|dense|c_proj|down_proj|fc2|fc_out|dense_4h_to_h|w2|wo|linear_fc2|proj|linear_2)$"
)
_KEY_OR_VALUE = re.compile(r"(^|[.])(k_proj|v_proj|key|value)$")
_FUSED = re.compile(r"(^|[.])(qkv_proj|query_key_value|c_attn|Wqkv|W_pack|qkv)$")


@dataclass(frozen=True, slots=True)
class Ranks:
    """How a model is spread: tensor parallel width, pipeline stages, whether experts lie whole on ranks.

    ``attending`` is over how many ranks attention is, 0 for the width: SGLang's data parallel attention has fewer, and
    the embedding whole on each (layers/dp_attention.py, models/deepseek_v2.py).
    """

    tensor: int = 1
    stages: int = 1
    experts: int = 1
    attending: int = 0

    @property
    def cards(self) -> int:
        """Cards of one replica."""
        return self.tensor * self.stages


def padded_rows(rows: int) -> int:
    """Rows of a vocabulary as an engine keeps it."""
    return -(-rows // VOCABULARY) * VOCABULARY


def of_rows(owner: str) -> bool:
    """Whether a layer's inputs are shared out and not its outputs."""
    return _ROWS.search(owner) is not None


def share(skeleton: Skeleton, module: Module, tensor: Tensor, ranks: Ranks) -> Fraction:
    """The part of a tensor's bytes that one rank of its stage holds; above 1 where padding adds rows."""
    facts, width = skeleton.facts, ranks.tensor
    owner, last = tensor.owner, tensor.name.rpartition(".")[2]
    if ranks.attending and owner == facts.input_embeddings:
        return Fraction(1)
    if ranks.attending and module.part == "attention":
        width = ranks.attending
    if module.part == "head" or owner in {facts.input_embeddings, facts.output_embeddings}:
        of_words = bool(tensor.shape) and tensor.shape[0] in {facts.vocab_size, facts.resized_from}
        return Fraction(padded_rows(tensor.shape[0]), tensor.shape[0] * width) if of_words else Fraction(1)
    if module.part == "expert" or ".experts" in f".{owner}":
        whole = last.endswith("bias") and ranks.experts == 1 and "down" in last
        return Fraction(1, 1 if whole else ranks.experts if ranks.experts > 1 else width)
    if width == 1 or not tensor.shape:
        return Fraction(1)
    if in_tower(owner) or "projector" in owner:
        return _plain(owner, last, width)
    heads, kept = facts.num_attention_heads, facts.num_key_value_heads
    if _KEY_OR_VALUE.search(owner) and module.part == "attention":
        return Fraction(max(1, kept // width), kept) if kept else Fraction(1)
    if _FUSED.search(owner) and heads and kept:
        # A rank's share of the queries, and its heads of keys and values, of which each has one at least.
        return (Fraction(heads, width) + 2 * max(1, kept // width)) / (heads + 2 * kept)
    return _plain(owner, last, width)


def _plain(owner: str, last: str, width: int) -> Fraction:
    if (
        last == "sinks"
        or _COLUMNS.search(owner)
        or _COLUMNS.search(last)
        or _FUSED.search(owner)
        or (_KEY_OR_VALUE.search(owner))
    ):
        return Fraction(1, width)
    if _ROWS.search(owner):
        return Fraction(1) if last == "bias" else Fraction(1, width)  # each rank keeps it, one adds it
    return Fraction(1)
