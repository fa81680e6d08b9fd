"""What helps against one error: by its cause, by its tensor, and by what the line was doing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.explain.kinds import Kind
    from inspector.explain.operators import Family, Operator
    from inspector.explain.tensor import Named
    from inspector.explain.verdict import Cause

_BY_CAUSE: dict[Cause, tuple[str, ...]] = {
    "fragmented": ("PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True (PYTORCH_ALLOC_CONF from 2.9): segments that grow",
                   "batches of one length, so that freed blocks are used again"),
    "other processes": ("nvidia-smi says which process holds the rest: end it, or take another card",),
    "limit": ("raise the fraction given to torch.cuda.set_per_process_memory_fraction",),
    "spilled": ("in the driver's settings, CUDA sysmem fallback: prefer none, so that it fails and is not slow",),
    "larger than the card": ("no setting of the allocator helps: the tensor itself has to be smaller",),
}  # fmt: skip
_BY_FAMILY: dict[Family, tuple[str, ...]] = {
    "logits": ("a loss that never holds a whole batch's logits: chunked, Liger's fused or cut cross-entropy",
               "fewer tokens at once: half the batch with twice the accumulation, or a shorter length"),
    "scores": ("attention that writes no matrix out: sdpa with a fused kernel, or flash attention",
               "a shorter length: the matrix grows with its square"),
    "mask": ("sdpa's is_causal or flash attention, which need no mask of all pairs", "a shorter length"),
    "mlp": ("gradient checkpointing", "fewer tokens at once"),
    "attention": ("gradient checkpointing", "fewer tokens at once"),
    "hidden": ("gradient checkpointing", "fewer tokens at once"),
    "cache": ("a shorter context or fewer sequences at once",
              "a quantized or offloaded cache; in training use_cache=False"),
    "state": ("an 8-bit or paged optimizer (adamw_bnb_8bit, paged_adamw_8bit), or foreach=False for its temporaries",
              "LoRA in place of training every weight"),
    "gradient": ("LoRA in place of training every weight", "zero_grad(set_to_none=True) before the forward"),
    "flat": ("smaller units to wrap (one decoder layer each), limit_all_gathers, reshard after the forward",
             "more cards, or CPU offload"),
    "merged": ("merge on the CPU (device_map='cpu'), where host memory is larger",),
    "weight": ("fewer bits a weight (4-bit QLoRA), or the dtype of the checkpoint in place of float32",),
}  # fmt: skip
_BY_OPERATOR: dict[str, tuple[str, ...]] = {
    "gathering the evaluation's logits": (
        "eval_accumulation_steps moves them to the host every few batches",
        "preprocess_logits_for_metrics that keeps the argmax alone", "a smaller per_device_eval_batch_size",
    ),
    "logits in float32": ("logits that are not turned to float32: autocast's own loss, or a fused one",),
    "8-bit weights": ("bitsandbytes 0.45 or newer, which saves 8-bit weights without a copy of another layout",),
}  # fmt: skip

_MAKER = {"hip": ("amd-smi", "PYTORCH_HIP_ALLOC_CONF"), "xpu": ("xpu-smi", "PYTORCH_XPU_ALLOC_CONF")}
"""What shows an AMD or Intel card's processes, and where its allocator's settings are said."""


def helps(kind: Kind, cause: Cause | None, named: Named | None, operator: Operator | None) -> tuple[str, ...]:
    """What to try, the nearest cause first, in the words of the card's maker; each is said once."""
    return tuple(dict.fromkeys(_by_maker(kind.name, text) for text in _helps(kind, cause, named, operator)))


def _by_maker(kind: str, text: str) -> str:
    # Kinds that name no maker are CUDA's, or of the host.
    if kind not in _MAKER:
        return text
    monitor, setting = _MAKER[kind]
    return text.replace("nvidia-smi", monitor).replace("PYTORCH_CUDA_ALLOC_CONF", setting)


def _helps(kind: Kind, cause: Cause | None, named: Named | None, operator: Operator | None) -> Iterator[str]:
    yield from _BY_CAUSE.get(cause, ()) if cause else ()
    # What another process holds is no matter of this one's tensors.
    if cause != "other processes":
        yield from _BY_OPERATOR.get(operator.name, ()) if operator else ()
        if named is not None and named.tensor is not None:
            yield from _BY_FAMILY.get(named.tensor.family, ())
        elif operator is not None and operator.families:
            yield from _BY_FAMILY.get(operator.families[0], ())
    yield from kind.helps
