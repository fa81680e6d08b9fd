"""What Unsloth tells the vLLM that it starts, of which its users say nothing: rows, tokens of a step, adapters.

Source: unsloth_zoo/vllm_utils.py (``approximate_vllm_memory_usage`` and ``load_vllm``). The rows are by what it expects
to be left for the cache, in steps.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from inspector.units import GiB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from inspector.sources.source import Source

_STEPS = (
    (2, 128), (4, 160), (8, 192), (12, 224), (16, 256), (24, 288), (40, 320), (48, 336), (80, 368), (1000, 400),
)  # fmt: skip
"""GiB that are left up to which so many rows are sampled; the source's 226 for 48 is one of its releases alone."""


def is_of_unsloth(record: Mapping[str, Any]) -> bool:
    """Whether a log says that Unsloth wrote it."""
    said = json.dumps([record.get(name) for name in ("id", "model", "note", "source")])
    return "unsloth" in said.lower()


def unsloth_rows(record: Mapping[str, Any], source: Source, total: int) -> tuple[int, int, int]:
    """Rows that it asks for on a card of so many bytes: a step less, what its rule says, a step more."""
    facts = source.skeleton.facts
    queries, kept = facts.num_attention_heads * facts.head_dim, facts.num_key_value_heads * facts.head_dim
    attention = (2 * queries + 2 * kept) * facts.hidden_size
    linear = facts.num_layers * (attention + 3 * facts.hidden_size * facts.intermediate_size) * 2
    tied = source.runnable.get("tie_word_embeddings", True)
    words = facts.vocab_size * facts.hidden_size * (1 if tied else 2) * 2
    packed = "4bit" in str(record.get("quantization"))
    share = float(record.get("gpu_memory_utilization") or 0.5)
    left = (share * total - linear / (16 / 5 if packed else 1) - words) / GiB
    place = next((place for place, (most, _) in enumerate(_STEPS) if left <= most), len(_STEPS) - 1)
    return _STEPS[max(place - 1, 0)][1], _STEPS[place][1], _STEPS[min(place + 1, len(_STEPS) - 1)][1]


def unsloth_tokens(record: Mapping[str, Any]) -> int | None:
    """Tokens of a step: the longest request's, which it raises or lowers them to."""
    found = record.get("max_model_len")
    return int(found) if found else None
