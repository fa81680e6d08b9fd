"""Tensors that an architecture has in GGUF, and their shapes by the header's sizes.

Source: ``load_tensors`` in llama.cpp's src/llama-model.cpp (now src/models/*.cpp) for the architectures of `FORMS`; for
all others the ``gguf`` package's ``MODEL_TENSORS``, which names an architecture's tensors and no shapes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from inspector.checkpoint.gguf_tables import tables

if TYPE_CHECKING:
    from inspector.checkpoint.gguf_header import Announced

Shape = tuple[int, ...]

BLOCK = re.compile(r"^blk\.(\d{1,6})\.(.+)$")
_NUMBER = re.compile(r"(?<=\.)\d{1,6}(?=\.|$)")
_SUFFIX = re.compile(r"\.(?:weight|bias|scale|input_scale)$")

_ATTENTION, _MLP = ("attn_q", "attn_k", "attn_v", "attn_output"), ("ffn_gate", "ffn_up", "ffn_down")
_NORMS, _AFTER, _HEADS = (
    ("attn_norm", "ffn_norm"),
    ("post_attention_norm", "post_ffw_norm"),
    ("attn_q_norm", "attn_k_norm"),
)
_LLAMA = (*_NORMS, *_ATTENTION, *_MLP)


@dataclass(frozen=True, slots=True)
class Form:
    """What every block has. ``biases`` are required; ``optional`` ones are read where they are there.

    ``doubled`` says that ``ffn_up`` holds gate and up in one.
    """

    weights: tuple[str, ...]
    biases: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    doubled: bool = False


_BIASES = (*_ATTENTION, *_MLP)
FORMS: dict[str, Form] = {
    **dict.fromkeys(("llama", "mistral3", "granite", "granitemoe", "minicpm", "deci"), Form(_LLAMA, optional=_BIASES)),
    **dict.fromkeys(("internlm2", "xverse", "baichuan", "exaone", "smollm3", "gemma"), Form(_LLAMA)),
    "qwen2moe": Form(_LLAMA, optional=_ATTENTION[:3]),
    "qwen2": Form(_LLAMA, biases=_ATTENTION[:3]),
    "qwen3": Form((*_LLAMA, *_HEADS)),
    "qwen3moe": Form((*_LLAMA, *_HEADS)),
    "gemma2": Form((*_LLAMA, *_AFTER)),
    "gemma3": Form((*_LLAMA, *_AFTER, *_HEADS)),
    "gemma4": Form((*_LLAMA, *_AFTER, *_HEADS)),
    "olmo2": Form((*_ATTENTION, *_MLP, *_AFTER, *_HEADS)),
    "phi3": Form((*_NORMS, "attn_qkv", "attn_output", "ffn_up", "ffn_down"), doubled=True),
    "openelm": Form((*_NORMS, "attn_qkv", "attn_output", *_HEADS, *_MLP)),
    "starcoder2": Form(
        (*_NORMS, *_ATTENTION, "ffn_up", "ffn_down"),
        biases=_NORMS,
        optional=(*_ATTENTION, "ffn_up", "ffn_down"),
    ),
}  # fmt: skip
"""Architectures whose blocks are known to the tensor."""

_OTHER_FFN = frozenset({"arctic", "grok"})
"""Architectures whose dense MLP is not as wide as ``feed_forward_length``."""


@lru_cache(maxsize=8)
def named(architecture: str) -> frozenset[str]:
    """Names of an architecture's tensors in the ``gguf`` package, with `numberless`; empty for one it does not know."""
    known = tables("constants")
    found = next((key for key, name in known.MODEL_ARCH_NAMES.items() if name == architecture), None)
    if found is None:
        return frozenset()
    # Not in every architecture's list, and read by llama.cpp for all.
    names = {known.TENSOR_NAMES[tensor] for tensor in known.MODEL_TENSORS[found]} | {
        "rope_freqs",
        "output",
        "token_embd",
    }
    return frozenset(re.sub(r"\{\w+\}", "#", name) for name in names)


def numberless(name: str) -> str:
    """A tensor's name without its last word, and its numbers as ``#``: ``blk.#.attn_q`` of ``blk.0.attn_q.weight``."""
    return _NUMBER.sub("#", _SUFFIX.sub("", name))


def shapes(announced: Announced, name: str) -> tuple[Shape, ...]:
    """Shapes (rows first) that a tensor may have by the header; none where the header or this table does not say."""
    width, vocabulary = announced.size("embedding_length"), announced.vocabulary
    if not width:
        return ()
    known = announced.architecture in FORMS
    # What another architecture calls by these names may be anything.
    if not known and not named(announced.architecture):
        return ()
    block = BLOCK.match(name)
    if not block:
        top: dict[str, tuple[Shape, ...]] = {"output_norm.weight": ((width,),)} if known else {}
        if vocabulary:
            top["token_embd.weight"] = ((vocabulary, width),)
            if known:
                top["output.weight"] = ((vocabulary, width),)
        return top.get(name, ())
    layer, kind = int(block[1]), block[2]
    if kind == "ffn_down.weight" and announced.architecture not in _OTHER_FFN:
        inner = announced.size("feed_forward_length", layer)
        return ((width, inner),) if inner else ()
    if not known:
        return ()
    owner, _, last = kind.rpartition(".")
    found = tuple(shape for shape in _weight(announced, owner, layer, width) if all(shape))
    if last == "weight":
        return found
    # A bias has one for each row, and norms one for each element.
    return tuple((shape[0],) for shape in found if len(shape) < 3) if last == "bias" else ()


def _weight(announced: Announced, kind: str, layer: int, width: int) -> tuple[Shape, ...]:
    """The shape of a block's weight; empty for a kind that no rule is known for."""
    if kind in {*_NORMS, *_AFTER, "pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2", "post_norm"}:
        return ((width,),)
    if kind == "layer_output_scale":
        return ((1,),)
    return _attention(announced, kind, layer, width) or _mlp(announced, kind, layer, width)


def _attention(announced: Announced, kind: str, layer: int, width: int) -> tuple[Shape, ...]:
    heads = announced.size("attention.head_count", layer)
    if not heads:
        return ()
    shared = announced.size("attention.head_count_kv", layer)
    values = heads if shared is None else shared
    window = "_swa" if announced.sliding(layer) else ""
    # Where nothing is said, the first layer's heads share the width (llama.cpp `llama_model::load_hparams`).
    usual = width // (announced.size("attention.head_count") or heads)
    key, value = (
        announced.size(f"attention.{what}_length{window}") or announced.size(f"attention.{what}_length") or usual
        for what in ("key", "value")
    )
    found: dict[str, tuple[Shape, ...]] = {
        "attn_q": ((heads * key, width),),
        "attn_k": ((values * key, width),),
        "attn_v": ((values * value, width),),
        # Layers of DeciLM without keys of their own have a plain matrix here.
        "attn_output": ((width, heads * value if values else width),),
        "attn_qkv": ((heads * key + values * (key + value), width),),
        # Of one head, or of all heads beside each other (OLMo 2).
        "attn_q_norm": ((key,), (heads * key,)),
        "attn_k_norm": ((key,), (values * key,)),
    }
    return found.get(kind, ())


def _mlp(announced: Announced, kind: str, layer: int, width: int) -> tuple[Shape, ...]:
    inner, experts = announced.size("feed_forward_length", layer), announced.size("expert_count", layer)
    if kind in {"ffn_gate", "ffn_up"}:
        twice = 2 if FORMS[announced.architecture].doubled else 1
        return ((twice * inner, width),) if inner else ()
    if kind == "ffn_gate_inp":
        return ((experts, width),) if experts else ()
    # Where a file says no width of an expert, it is the MLP's; Qwen 2's first files divided it among those in use.
    own = announced.size("expert_feed_forward_length", layer)
    used = announced.size("expert_used_count", layer)
    widths = [own] if own else [inner, inner // used if inner and used else None]
    found: list[Shape] = []
    for size in widths:
        if size and experts:
            found += {
                "ffn_gate_exps": [(experts, size, width)],
                "ffn_up_exps": [(experts, size, width)],
                "ffn_gate_up_exps": [(experts, 2 * size, width)],
                "ffn_down_exps": [(experts, width, size)],
            }.get(kind, [])
    return tuple(found)
