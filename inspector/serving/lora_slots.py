"""The room that an engine keeps for LoRA adapters before any is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.errors import InspectorError
from inspector.serving.sharding import of_rows, share
from inspector.serving.weights import Part
from inspector.skeleton.skeleton import in_tower

if TYPE_CHECKING:
    from inspector.serving.sharding import Ranks
    from inspector.skeleton import ConfigFacts, Skeleton, Tensor

WITH_HEAD = frozenset({
    "apertus", "exaone", "exaone4", "exaone_moe", "falcon_h1", "granite", "granitemoe", "granitemoehybrid",
    "granitemoeshared", "jamba", "lfm2", "lfm2_moe", "llama", "minicpm", "mixtral", "nemotron", "nemotron_h", "phi3",
    "phimoe", "qwen3", "qwen3_5", "qwen3_moe", "solar",
})  # fmt: skip
"""Families whose embedding and head have slots too (``embedding_modules`` of their classes in vLLM)."""
WITH_ONE = frozenset({"cohere", "cohere2", "olmo2", "phi", "smollm3"})
"""Families of which one of the two has them."""
MOST_WORDS = 258_048
"""Entries of a vocabulary whose head may have adapters (lora/layers/logits_processor.py)."""


OF_EXPERTS = (0, 11, 2)
"""From here on experts have slots (pull request 21229)."""
TOGETHER = frozenset({"gpt_oss", "qwen3_vl_moe", "qwen3_vl_moe_text", "qwen3_5_moe", "qwen3_5_moe_text"})
"""Families whose gate and up projection have one ``lora_a`` (``is_3d_moe_weight`` of their classes)."""


def lora_bytes(skeleton: Skeleton, ranks: Ranks, slots: int, rank: int, *, experts: bool = True) -> Part:
    """Stacked ``lora_a`` and ``lora_b`` of every linear layer of the language model, in 16 bits.

    Sources: vLLM lora/layers/base_linear.py (``create_lora_weights``: of a column layer A is whole and B is shared out,
    of a row layer the other way round), vocab_parallel_embedding.py and logits_processor.py (whole on each rank).
    Towers have none (``enable_tower_connector_lora``); ``experts`` is whether they have (fused_moe.py: a set of slots
    for each expert of the rank). Raises InspectorError for a vocabulary that no head with adapters may have.
    """
    facts = skeleton.facts
    total = 0
    for tensor in skeleton.own_tensors:
        module = skeleton.module_of(tensor)
        if experts and tensor.name.endswith("experts.down_proj") and len(tensor.shape) == 3:
            total += _of_experts(facts, tensor, ranks)
            continue
        if experts and facts.num_experts and tensor.name.endswith("mlp.gate.weight"):  # the router, whole on each rank
            total += sum(tensor.shape)
            continue
        linear = module.base in {"Linear", "Conv1D"} and tensor.name.endswith("weight")
        if module.layer is None or not linear or in_tower(tensor.name):
            continue
        rows, columns = tensor.shape
        part = share(skeleton, module, tensor, ranks)
        total += int(columns * part + rows if of_rows(tensor.owner) else columns + rows * part)
    of_words = 2 if facts.model_type in WITH_HEAD else 1 if facts.model_type in WITH_ONE else 0
    if of_words == 2 and facts.vocab_size > MOST_WORDS:
        raise InspectorError(
            f"When using LoRA, vocab size must be <= {MOST_WORDS}", hint=f"this model's is {facts.vocab_size:,}"
        )
    words = of_words * (facts.vocab_size + facts.hidden_size)
    return Part("LoRA slots", 2 * slots * rank * (total // ranks.stages + words))


def _of_experts(facts: ConfigFacts, tensor: Tensor, ranks: Ranks) -> int:
    """Elements a slot and unit of rank of one layer's experts: A and B of gate, up and down."""
    count, *sides = tensor.shape
    inner = sides[0] if sides[1] == facts.hidden_size else sides[1]
    count, inner = (count // ranks.experts, inner) if ranks.experts > 1 else (count, inner // ranks.tensor)
    inputs = 1 if facts.model_type in TOGETHER else 2
    return count * ((inputs + 1) * facts.hidden_size + 3 * inner)
