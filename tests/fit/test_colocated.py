"""A vLLM in the process of the trainer, asked of its own rules and handed to the dry run. No torch."""

from __future__ import annotations

import pytest

from inspector.errors import ContradictionError, InspectorError
from inspector.fit.colocated import engine_told
from inspector.gpus import find_gpu
from inspector.serving import colocated_bytes
from inspector.simulate.setup.finetuning import resolve_setup

MODEL, CARD = "qwen2.5-1.5b", find_gpu("A100-80GB")


def settings(**more):
    asked = {"objective": "grpo", "method": "lora", "batch_size": 8, "seq_len": 512, "prompt_len": 256,
             "rollouts": "colocated", "vllm_max_model_length": 2048, **more}  # fmt: skip
    return resolve_setup(**asked).settings


def test_it_holds_what_its_own_rules_say():
    held = dict(engine_told(MODEL, settings(vllm_gpu_memory_utilization=0.4, grad_accum=2), CARD).vllm_memory)
    said = colocated_bytes(
        MODEL, gpu="A100-80GB", gpu_memory_utilization=0.4, max_model_len=2048, max_num_seqs=16,
        max_num_batched_tokens=4096,
    )  # fmt: skip
    assert held == {"weights": said.weights, "cache": said.kv.value, "graphs": said.graphs,
                    "activations": said.activations}  # fmt: skip
    assert 0.38 < sum(held.values()) / CARD.usable_bytes <= 0.4


def test_a_packed_base_is_packed_in_the_engine_too():
    whole = dict(engine_told(MODEL, settings(), CARD).vllm_memory)["weights"]
    packed = dict(engine_told(MODEL, settings(method="qlora", scheme="nf4"), CARD).vllm_memory)["weights"]
    assert packed < whole / 2


def test_what_was_said_is_not_asked():
    said = settings(vllm_memory=["weights=2GiB", "cache=20GiB"])
    assert engine_told(MODEL, said, CARD) is said
    assert dict(said.vllm_memory) == {"weights": 2 * 2**30, "cache": 20 * 2**30}
    away = settings(rollouts="server", vllm_max_model_length=0)
    assert engine_told(MODEL, away, CARD) is away


def test_an_engine_that_would_not_start_is_a_line():
    with pytest.raises(ContradictionError, match="vLLM would not start on its share of the card"):
        engine_told(MODEL, settings(vllm_max_model_length=0), find_gpu("A10"))
    with pytest.raises(InspectorError):
        engine_told("no/such-model", settings(), CARD)
