"""What kind of part a module is, by the names that architectures use. Pure strings, no torch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inspector.skeleton import Part

# Matched in this order against the components of the path inside its layer, so that `self_attn.q_norm` is a norm and
# `attention.output.dense` is attention while `output.dense` (BERT, NeoX) is the MLP.
_NORM = re.compile(r"norm|^ln(_|$|\d)|^final_layer_norm")
_EXPERT = re.compile(r"^(experts|moe_experts|local_experts)$")
# `attentions` is what diffusers calls the list of whole transformers inside a UNet's block.
_ATTENTION = re.compile(r"attn|attention(?!s$)|^mixer$|^mamba|^(temporal_block|time_mix|short_conv|conv)$")
_MLP = re.compile(
    r"^(mlp|ffn|fc\d?|feed_forward|feedforward|ff|intermediate|output|gate|router|channel_mix"
    r"|block_sparse_moe|moe|shared_experts?|shared_mlp|dense_h_to_4h|dense_4h_to_h|DenseReluDense)$"
    r"|mlp|feed_forward"
)
_EMBEDDING = re.compile(r"embed|^wte$|^wpe$|^shared$|tokens_embed")
_HEAD = re.compile(r"^(lm_head|embed_out|score|classifier|qa_outputs|cls|output_projection)$")


def part_of(path: str, cls: str, base: str, layer: str | None, output_embeddings: str) -> Part:
    """The part a module is, from its path, its class and the layer it belongs to.

    Args:
        path: full path in the model.
        cls: class name.
        base: torch's own layer type it is or derives from (see `inspector.skeleton.Module`).
        layer: path of the repeated layer around it, or None.
        output_embeddings: path of the output head, as the model itself names it.
    """
    names = path.split(".")
    # Only inside its layer: the path to the layer says where the layer is, not what its modules are.
    inside = path[len(layer) :].lstrip(".").split(".") if layer else names
    if (output_embeddings and path == output_embeddings) or (not layer and _HEAD.match(names[0])):
        return "head"
    # Rotary embeddings have tables of angles, which are nobody's vocabulary.
    if "Rotary" not in cls and (base == "Embedding" or (not layer and _any(_EMBEDDING, names))):
        return "embedding"
    if "Norm" in cls or _NORM.search(names[-1]):
        return "norm"
    if _any(_EXPERT, inside):
        return "expert"
    if layer and _any(_ATTENTION, inside):
        return "attention"
    if layer and _any(_MLP, inside):
        return "mlp"
    return "other"


def _any(pattern: re.Pattern[str], names: list[str]) -> bool:
    return any(pattern.search(name) for name in names)
