"""What can be changed about a fine-tuning to make it smaller, cheapest first, and what part of a peak each is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from inspector.fit.cause import Part
    from inspector.simulate.setup.settings import FinetuneSettings


@dataclass(frozen=True, slots=True)
class Candidate:
    """A change, what it costs, the settings that make it, and the parts of a peak that it can make smaller.

    ``alone`` is not combined with others; ``free`` costs neither time nor precision.
    """

    what: str
    cost: str
    settings: Mapping[str, Any]
    of: tuple[Part, ...]
    free: bool = False
    alone: bool = False


_OF_TOKENS: tuple[Part, ...] = ("activations", "logits", "attention")
_REPEATED: dict[str, Any] = {"sdpa_backend": "efficient"}
_PADDED: dict[str, Any] = {"padding_mask": True, "padded": True, "packed": False}
_FLOAT16: dict[str, Any] = {"dtype": "float16"}


def candidates(settings: FinetuneSettings, cures: Collection[str] = ()) -> Iterator[Candidate]:
    """Changes worth trying: those that cost nothing, then time, then precision, then what is trained.

    ``cures`` are what keeps attention from the math kernel (`inspector.simulate.device.math_attention`).
    """
    yield from _of_attention(settings, cures)
    yield from _free(settings)
    yield from _slower(settings)
    yield from _coarser(settings)
    yield from _less(settings)


def _of_attention(settings: FinetuneSettings, cures: Collection[str]) -> Iterator[Candidate]:
    """Fused attention again. ``use_gqa_in_sdpa`` is looked up where it is used, so one line replaces it."""
    repeated = "keys and values repeated: transformers.integrations.sdpa_attention.use_gqa_in_sdpa = lambda *_: False"
    padded = "a padding mask that masks something: a token of padding in every batch"
    numbers: dict[str, Any]
    # Without float16 first, as it changes the numbers too.
    for prefix, told, numbers in (("", "", {}), ("float16 and ", "float16, and ", _FLOAT16)):
        if either := f"{prefix}repeated" in cures:
            how = {**numbers, **_REPEATED}
            yield Candidate(f"{told}{repeated}", "copies of keys, values", how, ("attention",), free=True)
        if f"{prefix}padded" in cures:
            how = {**numbers, **_PADDED}
            # Where repeating is offered, a mask beside it would do the same a second time.
            yield Candidate(f"{told}{padded}", "copies, and a mask", how, ("attention",), free=True, alone=either)
    if "float16" in cures:
        yield Candidate("float16", "its smaller range", _FLOAT16, ("attention",), free=True)
    if cures and settings.attention != "eager":
        yield Candidate("eager attention", "some time", {"attention": "eager"}, ("attention",), alone=True)


def _free(settings: FinetuneSettings) -> Iterator[Candidate]:
    if not settings.expandable_segments:
        name = "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"
        yield Candidate(name, "nothing", {"expandable_segments": True}, ("held",), free=True)
    if settings.attention == "eager":
        yield Candidate("sdpa attention", "nothing", {"attention": "sdpa"}, ("attention", "activations"), free=True)
    # These three never hold a whole batch's logits.
    if settings.loss not in {"chunked", "liger", "trl"}:
        yield Candidate("chunked loss", "next to nothing", {"loss": "chunked"}, ("logits",), free=True)


def _slower(settings: FinetuneSettings) -> Iterator[Candidate]:
    if not settings.gradient_checkpointing:
        again = {"gradient_checkpointing": True}
        yield Candidate("gradient checkpointing", "about a third more time", again, ("activations", "attention"))
    # Half before one: it takes less time, and may be enough.
    for batch in sorted({settings.batch_size // 2, 1} - {0, settings.batch_size}, reverse=True):
        # Rounded up: a step sees no fewer samples than before.
        times = -(-settings.batch_size * settings.grad_accum // batch)
        how = {"batch_size": batch, "grad_accum": times}
        yield Candidate(f"batch {batch}, accumulated {times} times", "some time", how, _OF_TOKENS)


def _coarser(settings: FinetuneSettings) -> Iterator[Candidate]:
    if "8bit" not in settings.optimizer and "adamw" in settings.optimizer:
        eight = {"optimizer": "adamw_bnb_8bit"}
        yield Candidate("8-bit optimizer (adamw_bnb_8bit)", "rounded optimizer state", eight, ("optimizer",))
        paged = {"optimizer": "paged_adamw_8bit"}
        yield Candidate("paged 8-bit optimizer", "rounded state, moved when needed", paged, ("optimizer",))
    if settings.prepare_kbit and settings.method == "qlora":
        what = "no float32 upcast (no prepare_model_for_kbit_training)"
        yield Candidate(what, "16-bit norms and head", {"prepare_kbit": False}, ("weights", "logits", "activations"))
    if settings.method == "qlora" and settings.scheme in {"nf4", "fp4"} and not settings.double_quant:
        yield Candidate("double quantization", "a little precision", {"double_quant": True}, ("constants",))
    if settings.method == "lora":
        # Without the upcast, which would give back part of what is saved: it doubles embeddings and head.
        four = {"method": "qlora", "scheme": "nf4", "prepare_kbit": False}
        yield Candidate("4-bit base (QLoRA, no float32 upcast)", "quantized base weights", four, ("weights",))


def _less(settings: FinetuneSettings) -> Iterator[Candidate]:
    trained: tuple[Part, ...] = ("adapters", "gradients", "optimizer")
    if settings.method == "full":
        lora = {"method": "lora", "scheme": "none", "prepare_kbit": False}
        yield Candidate("LoRA", "adapters only", lora, ("gradients", "optimizer", "activations"))
        four = {"method": "qlora", "scheme": "nf4", "double_quant": True, "prepare_kbit": False}
        of: tuple[Part, ...] = ("gradients", "optimizer", "activations", "weights")
        yield Candidate("QLoRA in 4 bits", "adapters only, quantized base weights", four, of)
    elif settings.r > 8:
        rank = max(settings.r // 4, 8)
        # Alpha goes with the rank: the adapters' scale, alpha over rank, stays.
        how = {"r": rank, "alpha": max(settings.alpha * rank // settings.r, 1)}
        yield Candidate(f"rank {rank}", "smaller adapters", how, trained)
    if settings.method != "full" and (settings.target_modules == ("all-linear",) or len(settings.target_modules) > 4):
        fewer: tuple[Part, ...] = (*trained, "activations")
        yield Candidate("PEFT's default targets", "adapters on fewer layers", {"target_modules": ()}, fewer)
    if settings.seq_len >= 256:
        half = settings.seq_len // 2
        yield Candidate(f"{half:,} tokens", "shorter samples", {"seq_len": half}, _OF_TOKENS)
