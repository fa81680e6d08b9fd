"""What excludes each other among the words of an objective and of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.simulate.setup.evaluation import BATCHES
from inspector.simulate.setup.objective import COMPARES, FROM_LOGITS, GENERATES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.simulate.setup.settings import FinetuneSettings


def of_objective(settings: FinetuneSettings) -> Iterator[tuple[bool, str, str]]:
    """What excludes each other: whether it is so here, what is wrong, and what to do."""
    kind, reference = settings.objective, settings.ref_model
    if kind == "sft":
        said = reference != "auto" or bool(settings.prompt_len) or settings.logits_to_keep
        yield said, "a reference model, a prompt's length and kept logits are of an objective", "add --objective dpo"
        return
    yield settings.packed, f"{kind} takes no packed sequences: a sample has a prompt and an answer", "drop --packed"
    yield settings.padded, f"{kind} takes samples of one length here: padding is not simulated", "drop --padded"
    yield settings.token_accuracy, f"the token accuracy is taken by SFTTrainer, not in {kind}", "drop it"
    yield (
        reference not in {"auto", "none"} and kind not in COMPARES | {"grpo"},
        f"{kind} has no reference model",
        "leave out --ref-model",
    )
    yield reference == "none" and kind in COMPARES, f"{kind} compares with a reference model", "--ref-model copy"
    yield (
        reference == "precomputed" and kind in GENERATES,
        f"{kind} trains on answers of its own, which nobody knows before",
        "--ref-model copy",
    )
    yield from _generating(settings)
    yield (
        reference == "adapters" and settings.method == "full",
        "full fine-tuning has no adapters to turn off",
        "--ref-model copy",
    )
    yield (
        settings.prompt_len >= settings.seq_len,
        f"a prompt of {settings.prompt_len:,} tokens leaves no answer within {settings.seq_len:,}",
        "raise --seq-len, which counts both",
    )
    yield (
        settings.logits_to_keep and (kind != "dpo" or settings.loss != "full"),
        "use_logits_to_keep is of DPO, where logits are made",
        "add --objective dpo --loss full",
    )
    yield (
        kind in FROM_LOGITS and settings.loss not in ({"trl"} if kind in GENERATES else {"full", "trl"}),
        f"{kind} is not simulated with the loss {settings.loss}",
        "--loss trl as TRL 1 does, --loss full as TRL 0 did",
    )


def _generating(settings: FinetuneSettings) -> Iterator[tuple[bool, str, str]]:
    """What the generation of own answers wants, and who has none."""
    kind, per = settings.objective, settings.steps_per_generation or settings.grad_accum
    if kind not in GENERATES:
        yield settings.steps_per_generation > 0, f"{kind} generates nothing", "leave out --steps-per-generation"
        yield settings.rollouts != "transformers", f"{kind} generates nothing", "leave out --rollouts"
        return
    yield not settings.prompt_len, f"{kind} answers prompts: their length is part of --seq-len", "add --prompt-len 512"
    yield settings.eval_batch > 0, f"an evaluation of {kind}, which generates, is not simulated", "drop --eval-batch"
    yield (
        settings.batch_size * per % settings.num_generations != 0,
        f"{settings.num_generations} answers to a prompt do not divide the {settings.batch_size * per} of a generation",
        "--batch-size times --steps-per-generation (or --grad-accum) is a multiple of --num-generations",
    )


def of_evaluation(settings: FinetuneSettings) -> Iterator[tuple[bool, str, str]]:
    """What excludes each other: whether it is so here, what is wrong, and what to do."""
    said = settings.eval_gather != "loss" or settings.eval_accum or settings.eval_batches != BATCHES
    yield not settings.eval_batch and bool(said), "an evaluation has a batch size", "add --eval-batch 8"
    yield (
        settings.objective != "sft" and settings.eval_gather != "loss",
        f"the logits of {settings.objective} are not gathered: its trainer makes them anew, or none",
        "leave out --eval-gather",
    )
    yield (
        settings.eval_gather != "loss" and settings.loss in {"chunked", "liger", "trl"} and bool(settings.eval_batch),
        f"with the loss {settings.loss} there are no logits to gather",
        "use --loss full",
    )
