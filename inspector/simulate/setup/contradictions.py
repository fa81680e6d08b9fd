"""What excludes each other among the words of an objective and of an evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from inspector.simulate.setup.evaluation import BATCHES, LENGTH
from inspector.simulate.setup.objective import COMPARES, FROM_LOGITS, GENERATES, LOSSES, SCORED, SHARE, TAUGHT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inspector.simulate.setup.settings import FinetuneSettings


def of_objective(settings: FinetuneSettings) -> Iterator[tuple[bool, str, str]]:
    """What excludes each other: whether it is so here, what is wrong, and what to do."""
    kind, reference = settings.objective, settings.ref_model
    if kind == "sft":
        said = reference != "auto" or bool(settings.prompt_len) or settings.logits_to_keep or settings.sync_ref_model
        yield said, "a reference model, a prompt's length and kept logits are of an objective", "add --objective dpo"
        scored = bool(settings.reward_model or settings.teacher) or settings.rollouts != "transformers"
        yield scored, "answers, their reward model and a teacher are of an objective", "add --objective grpo"
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
    yield settings.teacher != "" and kind not in TAUGHT, f"{kind} has no teacher", "leave out --teacher"
    yield kind in TAUGHT and not settings.teacher, f"{kind} follows a teacher", "add --teacher, such as qwen2.5-7b"
    yield from _generating(settings)
    yield from _synced(settings)
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
    losses = LOSSES.get(kind, ("trl", "full"))
    yield (
        settings.loss == "liger" and reference == "precomputed",
        "Liger's loss takes no log-probabilities that were computed before",
        "--ref-model copy, or --loss trl",
    )
    yield (
        kind in FROM_LOGITS and settings.loss not in losses,
        f"{kind} is not simulated with the loss {settings.loss}",
        "--loss trl as TRL 1 does, --loss full as TRL 0 did" if "full" in losses[1:] else f"--loss {losses[0]}",
    )


def _generating(settings: FinetuneSettings) -> Iterator[tuple[bool, str, str]]:
    """What the generation of own answers wants, and who has none."""
    kind, per = settings.objective, settings.steps_per_generation or settings.grad_accum
    told = settings.vllm_memory or settings.vllm_enable_sleep_mode or settings.vllm_max_model_length
    told = told or settings.vllm_gpu_memory_utilization != SHARE
    yield bool(told) and settings.rollouts != "colocated", "vLLM is not on this card", "add --rollouts colocated"
    if kind not in GENERATES:
        yield settings.steps_per_generation > 0, f"{kind} generates nothing", "leave out --steps-per-generation"
        yield settings.rollouts != "transformers", f"{kind} generates nothing", "leave out --rollouts"
        yield bool(settings.reward_model), f"{kind} has no answers of its own to score", "leave out --reward-model"
        return
    if kind not in SCORED:
        yield settings.steps_per_generation > 0, f"{kind} generates for a step at once", "drop --steps-per-generation"
        yield bool(settings.reward_model) and kind != "ppo", f"{kind} scores no answers", "leave out --reward-model"
    yield (
        kind == "ppo" and not settings.reward_model,
        "ppo has a reward model, and a value model of its kind",
        "add --reward-model, such as qwen2.5-0.5b",
    )
    yield kind == "ppo" and settings.rollouts != "transformers", "PPOTrainer generates by itself", "drop --rollouts"
    yield not settings.prompt_len, f"{kind} answers prompts: their length is part of --seq-len", "add --prompt-len 512"
    yield settings.eval_batch > 0, f"an evaluation of {kind}, which generates, is not simulated", "drop --eval-batch"
    yield (
        kind in SCORED and settings.batch_size * per % settings.num_generations != 0,
        f"{settings.num_generations} answers to a prompt do not divide the {settings.batch_size * per} of a generation",
        "--batch-size times --steps-per-generation (or --grad-accum) is a multiple of --num-generations",
    )
    # trl/generation/vllm_generation.py: "vLLM does not support in-flight 8-bit quantization."
    yield (
        settings.rollouts == "colocated" and settings.scheme == "int8",
        "vLLM does not quantize to 8 bits as it loads: TRL refuses it",
        "use --bits 4",
    )


def _synced(settings: FinetuneSettings) -> Iterator[tuple[bool, str, str]]:
    """What a reference model that follows the model is held against, as TRL's trainers refuse it."""
    kind, on = settings.objective, settings.sync_ref_model
    followed = {"dpo", "kto", "grpo", "rloo"}
    yield on and kind not in followed, f"{kind} has no reference model that follows", "leave out --sync-ref-model"
    yield (
        on and settings.method != "full",
        "a reference model that follows is a copy: TRL has none with adapters",
        "use --method full",
    )
    yield (
        on and settings.ref_model not in {"auto", "copy"},
        "a reference model that follows is a copy",
        "leave out --ref-model",
    )


def of_evaluation(settings: FinetuneSettings) -> Iterator[tuple[bool, str, str]]:
    """What excludes each other: whether it is so here, what is wrong, and what to do."""
    said = settings.eval_gather != "loss" or settings.eval_accum or settings.eval_batches != BATCHES
    yield not settings.eval_batch and bool(said), "an evaluation has a batch size", "add --eval-batch 8"
    answers = settings.generation_max_length != LENGTH or settings.generation_num_beams != 1
    yield (
        answers and settings.eval_gather != "generated",
        "nothing is generated in this evaluation",
        "add --eval-gather generated",
    )
    yield (
        settings.objective != "sft" and settings.eval_gather != "loss",
        f"the logits of {settings.objective} are not gathered: its trainer makes them anew, or none",
        "leave out --eval-gather",
    )
    yield (
        settings.eval_gather in {"logits", "argmax"}
        and settings.loss in {"chunked", "liger", "trl"}
        and bool(settings.eval_batch),
        f"with the loss {settings.loss} there are no logits to gather",
        "use --loss full",
    )


def of_saving(settings: FinetuneSettings) -> Iterator[tuple[bool, str, str]]:
    """What excludes each other: whether it is so here, what is wrong, and what to do."""
    what, full = settings.save, settings.method == "full"
    said = settings.save_only_model or settings.save_total_limit or settings.load_best_model_at_end
    yield bool(said) and what != "checkpoint", "checkpoints are what Trainer saves", "add --save checkpoint"
    yield settings.merge_on != "card" and what != "merged", "nothing is merged", "add --save merged"
    yield full and what in {"adapter", "merged"}, "full fine-tuning has no adapters", "use --save full"
    yield not full and what == "full", "with adapters they alone are saved", "use --save adapter, or --save merged"
