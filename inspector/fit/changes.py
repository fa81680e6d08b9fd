"""What can be changed about a fine-tuning to make it smaller, cheapest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.simulate.setup.finetuning import TrainSetup

    Candidate = tuple[str, str, dict[str, Any]]
    """What, at what cost, and the settings."""


def candidates(setup: TrainSetup) -> Iterator[Candidate]:
    """Changes worth trying: those that cost nothing, then time, then precision, then what is trained."""
    yield from _free(setup)
    yield from _slower(setup)
    yield from _coarser(setup)
    yield from _less(setup)


def _free(setup: TrainSetup) -> Iterator[Candidate]:
    if not setup.expandable_segments:
        yield "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True", "nothing", {"expandable_segments": True}
    if setup.attention == "eager":
        yield "sdpa attention", "nothing", {"attention": "sdpa"}
    if setup.loss not in {"chunked", "liger", "trl"}:
        yield "chunked loss", "next to nothing", {"loss": "chunked"}


def _slower(setup: TrainSetup) -> Iterator[Candidate]:
    if not setup.gradient_checkpointing:
        yield "gradient checkpointing", "about a third more time", {"gradient_checkpointing": True}
    for batch in sorted({setup.batch_size // 2, 1} - {0, setup.batch_size}, reverse=True):
        times = -(-setup.batch_size * setup.grad_accum // batch)
        yield f"batch {batch}, accumulated {times} times", "some time", {"batch_size": batch, "grad_accum": times}


def _coarser(setup: TrainSetup) -> Iterator[Candidate]:
    if "8bit" not in setup.optimizer and "adamw" in setup.optimizer:
        yield "8-bit optimizer (adamw_bnb_8bit)", "rounded optimizer state", {"optimizer": "adamw_bnb_8bit"}
        yield "paged 8-bit optimizer", "rounded state, moved when needed", {"optimizer": "paged_adamw_8bit"}
    if setup.prepare_kbit and setup.method == "qlora":
        yield "no float32 upcast (no prepare_model_for_kbit_training)", "16-bit norms and head", {"prepare_kbit": False}
    if setup.method == "qlora" and setup.scheme in {"nf4", "fp4"} and not setup.double_quant:
        yield "double quantization", "a little precision", {"double_quant": True}
    if setup.method == "lora":
        four = {"method": "qlora", "scheme": "nf4", "prepare_kbit": False}
        yield "4-bit base (QLoRA, no float32 upcast)", "quantized base weights", four


def _less(setup: TrainSetup) -> Iterator[Candidate]:
    if setup.method == "full":
        yield "LoRA", "adapters only", {"method": "lora", "scheme": "none", "prepare_kbit": False}
        four = {"method": "qlora", "scheme": "nf4", "double_quant": True, "prepare_kbit": False}
        yield "QLoRA in 4 bits", "adapters only, quantized base weights", four
    elif setup.r > 8:
        rank = max(setup.r // 4, 8)
        yield f"rank {rank}", "smaller adapters", {"r": rank, "alpha": max(setup.alpha * rank // setup.r, 1)}
    if setup.method != "full" and (setup.target_modules == ("all-linear",) or len(setup.target_modules) > 4):
        yield "PEFT's default targets", "adapters on fewer layers", {"target_modules": ()}
    if setup.seq_len >= 256:
        yield f"{setup.seq_len // 2:,} tokens", "shorter samples", {"seq_len": setup.seq_len // 2}
