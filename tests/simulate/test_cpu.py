"""Real CPU training steps, byte for byte: the profiler's allocator events against the traced ones."""

from __future__ import annotations

import pytest
import torch

from tests.simulate.cpu_sizes import WRAPPED_NUMBER, levels, profiled_sizes, traced_sizes

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def llama(attention):
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(
        hidden_size=64, intermediate_size=176, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=1000, use_cache=False, attn_implementation=attention,
    ))  # fmt: skip


def gpt2(attention):
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(n_embd=48, n_layer=3, n_head=4, vocab_size=777, use_cache=False, attn_implementation=attention)
    )


def with_lora(model):
    from peft import LoraConfig, get_peft_model

    fused = "GPT2" in type(model).__name__
    config = LoraConfig(r=4, target_modules="all-linear", lora_dropout=0.1, fan_in_fan_out=fused, task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def loop(model, ids, checkpointing):
    if checkpointing:
        model.gradient_checkpointing_enable()
        if hasattr(model, "enable_input_require_grads"):
            model.enable_input_require_grads()
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)

    def run():
        for _ in range(2):
            optimizer.zero_grad()
            output = model(input_ids=ids, labels=ids)
            output.loss.backward()
            optimizer.step()
            del output

    return run


def measured(model, ids, checkpointing):
    """Highest and last level in the profiler's events: all of them, and without wrapped numbers."""
    sizes = profiled_sizes(loop(model, ids, checkpointing))
    return levels(sizes, above=0), levels(sizes)


def simulated(model, ids, checkpointing):
    sizes = traced_sizes(loop(model, ids, checkpointing), [*model.parameters(), *model.buffers(), ids])
    return levels(sizes, above=0), levels(sizes)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("build", [llama, gpt2])
def test_peak_and_end_are_the_profilers(build, attention, lora, checkpointing):
    wrap = with_lora if lora else lambda model: model
    real, real_tensors = measured(wrap(build(attention)), torch.randint(0, 777, (2, 48)), checkpointing)
    with torch.device("meta"):
        shapes = wrap(build(attention))
    ours, our_tensors = simulated(shapes, torch.empty((2, 48), dtype=torch.int64, device="meta"), checkpointing)
    assert our_tensors == real_tensors
    assert ours[1] == real[1]
    assert 0 <= real[0] - ours[0] <= 64 * WRAPPED_NUMBER


@pytest.fixture
def two_threads():
    """As on people's machines; the other tests have one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_to_the_byte_where_no_number_is_wrapped(two_threads):
    real, _ = measured(llama("sdpa"), torch.randint(0, 777, (2, 48)), checkpointing=False)
    with torch.device("meta"):
        shapes = llama("sdpa")
    ours, _ = simulated(shapes, torch.empty((2, 48), dtype=torch.int64, device="meta"), checkpointing=False)
    assert ours == real
