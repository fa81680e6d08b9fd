"""A vLLM in the process that trains: what it holds by its own rules, handed to the dry run as bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inspector.errors import ContradictionError
from inspector.simulate.setup.finetuning import Resolved

if TYPE_CHECKING:
    from inspector.gpus import Gpu
    from inspector.simulate.finetuning import Question
    from inspector.simulate.setup.settings import FinetuneSettings

BATCHED = 4096
"""``max_num_batched_tokens``. Source: trl/generation/vllm_generation.py, 1.16, ``_init_vllm``."""


def with_engine(asked: Question) -> Question:
    """The question with the bytes of a colocated engine, where one is asked for and nobody said them.

    Raises InspectorError as `inspector.serving.colocated_bytes` does, and where vLLM would not start.
    """
    settings = asked.resolved.settings
    told = engine_told(asked.model, settings, asked.gpu)
    if told is settings:
        return asked
    return replace(asked, resolved=Resolved(told, asked.resolved.set_by))


def engine_told(model: str, settings: FinetuneSettings, card: Gpu) -> FinetuneSettings:
    """The settings with the bytes of a colocated engine; the very same where none is to ask for. Raises as above."""
    if settings.rollouts != "colocated" or settings.vllm_memory:
        return settings
    from inspector.serving import colocated_bytes

    # TRL asks for room for all answers of a generation, and no more.
    answers = settings.batch_size * (settings.steps_per_generation or settings.grad_accum)
    options: dict[str, Any] = {"quantization": "bitsandbytes"} if settings.scheme in {"nf4", "fp4"} else {}
    if settings.vllm_max_model_length:
        options["max_model_len"] = settings.vllm_max_model_length
    found = colocated_bytes(
        model, gpu=card, gpu_memory_utilization=settings.vllm_gpu_memory_utilization,
        max_num_seqs=answers, max_num_batched_tokens=BATCHED, **options,
    )  # fmt: skip
    if found.report.starts == "no":
        # As the trainer's own start: a change that is tried after another is passed over.
        raise ContradictionError(
            f"vLLM would not start on its share of the card: {found.report.refusal}",
            hint="lower --vllm-max-model-length, raise --vllm-gpu-memory-utilization, or --rollouts server",
        )
    held = {"weights": found.weights, "cache": max(found.kv.value, 0), "graphs": found.graphs,
            "activations": found.activations}  # fmt: skip
    return replace(settings, vllm_memory=tuple(held.items()))
