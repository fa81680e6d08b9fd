"""What can be changed about a fine-tuning to make it smaller, cheapest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.simulate.setup.settings import FinetuneSettings

    Candidate = tuple[str, str, dict[str, Any]]
    """What, at what cost, and the settings."""


def candidates(settings: FinetuneSettings) -> Iterator[Candidate]:
    """Changes worth trying: those that cost nothing, then time, then precision, then what is trained."""
    yield from _free(settings)
    yield from _slower(settings)
    yield from _coarser(settings)
    yield from _less(settings)


def _free(settings: FinetuneSettings) -> Iterator[Candidate]:
    if not settings.expandable_segments:
        yield "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True", "nothing", {"expandable_segments": True}
    if settings.attention == "eager":
        yield "sdpa attention", "nothing", {"attention": "sdpa"}
    if settings.loss not in {"chunked", "liger", "trl"}:
        yield "chunked loss", "next to nothing", {"loss": "chunked"}


def _slower(settings: FinetuneSettings) -> Iterator[Candidate]:
    if not settings.gradient_checkpointing:
        yield "gradient checkpointing", "about a third more time", {"gradient_checkpointing": True}
    for batch in sorted({settings.batch_size // 2, 1} - {0, settings.batch_size}, reverse=True):
        times = -(-settings.batch_size * settings.grad_accum // batch)
        yield f"batch {batch}, accumulated {times} times", "some time", {"batch_size": batch, "grad_accum": times}


def _coarser(settings: FinetuneSettings) -> Iterator[Candidate]:
    if "8bit" not in settings.optimizer and "adamw" in settings.optimizer:
        yield "8-bit optimizer (adamw_bnb_8bit)", "rounded optimizer state", {"optimizer": "adamw_bnb_8bit"}
        yield "paged 8-bit optimizer", "rounded state, moved when needed", {"optimizer": "paged_adamw_8bit"}
    if settings.prepare_kbit and settings.method == "qlora":
        yield "no float32 upcast (no prepare_model_for_kbit_training)", "16-bit norms and head", {"prepare_kbit": False}
    if settings.method == "qlora" and settings.scheme in {"nf4", "fp4"} and not settings.double_quant:
        yield "double quantization", "a little precision", {"double_quant": True}
    if settings.method == "lora":
        four = {"method": "qlora", "scheme": "nf4", "prepare_kbit": False}
        yield "4-bit base (QLoRA, no float32 upcast)", "quantized base weights", four


def _less(settings: FinetuneSettings) -> Iterator[Candidate]:
    if settings.method == "full":
        yield "LoRA", "adapters only", {"method": "lora", "scheme": "none", "prepare_kbit": False}
        four = {"method": "qlora", "scheme": "nf4", "double_quant": True, "prepare_kbit": False}
        yield "QLoRA in 4 bits", "adapters only, quantized base weights", four
    elif settings.r > 8:
        rank = max(settings.r // 4, 8)
        yield f"rank {rank}", "smaller adapters", {"r": rank, "alpha": max(settings.alpha * rank // settings.r, 1)}
    if settings.method != "full" and (settings.target_modules == ("all-linear",) or len(settings.target_modules) > 4):
        yield "PEFT's default targets", "adapters on fewer layers", {"target_modules": ()}
    if settings.seq_len >= 256:
        yield f"{settings.seq_len // 2:,} tokens", "shorter samples", {"seq_len": settings.seq_len // 2}
