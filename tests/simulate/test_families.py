"""Families of every kind go through a simulated LoRA step. `benchmarks/families.py` tries all of them."""

from __future__ import annotations

import pytest

from inspector.simulate.events import Alloc, Free, Mark
from inspector.simulate.program.training import trace_finetune
from inspector.simulate.setup.finetuning import resolve_setup
from tests.simulate.families import families, small_config

CHOSEN = (
    "llama", "gpt2", "bloom", "gemma3_text", "gemma3", "mixtral", "qwen3_moe", "deepseek_v3", "gpt_oss", "mamba",
    "jamba", "falcon_h1", "rwkv", "opt", "phi3", "llama4", "mistral", "openai-gpt",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("model_type", CHOSEN)
def test_a_family_trains_on_shapes(model_type):
    setup = resolve_setup(method="lora", batch_size=1, seq_len=64, dtype="bfloat16", steps=1).setup
    events = trace_finetune(small_config(model_type), setup, (8, 0), 108).events
    stages = [event.stage for event in events if isinstance(event, Mark)]
    assert stages == ["load", "forward", "backward", "optimizer"]
    alive = set()
    for event in events:
        if isinstance(event, Alloc):
            assert event.nbytes > 0
            alive.add(event.block)
        elif isinstance(event, Free):
            alive.remove(event.block)
    assert alive


def test_every_family_is_known():
    assert len(families()) >= 165
