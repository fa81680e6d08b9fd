"""The words a setting can be: each choice a type, and the one function that holds a value against it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from inspector.errors import InspectorError

if TYPE_CHECKING:
    from collections.abc import Hashable

SetBy = Literal["you", "file", "recipe", "method", "objective", "model", "library"]
Method = Literal["full", "lora", "qlora"]
Scheme = Literal[
    "nf4", "fp4", "int8",
    "gptq", "awq", "bitsandbytes", "fp8", "mxfp4", "compressed-tensors", "hqq", "torchao",
]  # fmt: skip
"""bitsandbytes' types, quantized on loading, and the formats of checkpoints that are quantized already."""
StoredAs = Literal[
    "none", "nf4", "fp4", "int8",
    "gptq", "awq", "bitsandbytes", "fp8", "mxfp4", "compressed-tensors", "hqq", "torchao",
]  # fmt: skip
ON_LOADING = frozenset({"nf4", "fp4", "int8"})
"""Schemes that bitsandbytes makes of plain weights as they are loaded; all others are as the checkpoint stores them."""
Dtype = Literal["auto", "float32", "float16", "bfloat16"]
AdapterDtype = Literal["float32", "auto", "bfloat16"]
Attention = Literal["auto", "sdpa", "eager", "flash_attention_2"]
DecodingAttention = Literal["auto", "sdpa", "eager"]
SdpaBackend = Literal["", "efficient", "flash", "math"]
Loss = Literal["full", "chunked", "liger", "trl", "shifted", "upcast"]
Autocast = Literal["none", "bf16", "fp16"]
Routing = Literal["balanced", "worst"]
Outputs = Literal["loss", "step", "next"]
OptimizerBy = Literal["loop", "trainer"]
ZeroGrad = Literal["before", "after"]
Labels = Literal["shared", "clone"]
Objective = Literal[
    "sft", "dpo", "kto", "orpo", "simpo", "cpo", "reward", "prm", "grpo", "rloo", "ppo", "gkd", "distill"
]
Gathered = Literal["loss", "logits", "argmax", "generated"]
Saved = Literal["none", "checkpoint", "adapter", "full", "merged"]
MergeOn = Literal["card", "cpu"]
Rollouts = Literal["transformers", "server", "colocated"]
Reference = Literal["auto", "copy", "adapters", "precomputed", "none"]
CacheKind = Literal["dynamic", "static", "quantized", "offloaded"]


def check_words(settings: Hashable) -> None:
    """Raise InspectorError for a field of a dataclass that is none of the words of its type."""
    for name, allowed in words_of(type(settings)).items():
        value = getattr(settings, name)
        if value not in allowed:
            # The empty word leaves a choice to PyTorch: it is what nobody types.
            known = ", ".join(word for word in allowed if word)
            raise InspectorError(f"{name} {value!r} is not known", hint=f"choose from {known}")


@cache
def words_of(cls: type[Any]) -> dict[str, tuple[Any, ...]]:
    """The fields of a class that are one of a few words, and which."""
    # Kept, as a class's hints are evaluated anew at every call, and settings are checked whenever they are made.
    return {name: get_args(hint) for name, hint in get_type_hints(cls).items() if get_origin(hint) is Literal}
