"""Sequences longer than a model's positions, modules that are not there, and other things only the model can refuse."""

from __future__ import annotations

import pytest

from inspector.errors import InspectorError
from inspector.fit.advise import finetune_with_advice
from inspector.fit.longest_prompt import generate_with_longest_prompt
from inspector.gpus import find_gpu
from inspector.simulate import finetune
from inspector.simulate.generation import simulate_generate

pytestmark = pytest.mark.filterwarnings("ignore")

GPT2 = {
    "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 64, "n_layer": 2, "n_head": 4,
    "vocab_size": 320, "n_positions": 40, "dtype": "float32",
}  # fmt: skip
OPT = {
    "model_type": "opt", "architectures": ["OPTForCausalLM"], "hidden_size": 64, "ffn_dim": 64, "vocab_size": 320,
    "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 40, "word_embed_proj_dim": 64,
    "dtype": "float32",
}  # fmt: skip
ROBERTA = {
    "model_type": "roberta", "architectures": ["RobertaForCausalLM"], "hidden_size": 64, "intermediate_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 320, "max_position_embeddings": 42,
    "is_decoder": True, "dtype": "float32",
}  # fmt: skip
LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 320, "max_position_embeddings": 40,
    "dtype": "float32",
}  # fmt: skip


@pytest.mark.parametrize("config", [GPT2, OPT, ROBERTA], ids=lambda config: config["model_type"])
def test_learned_positions_end_where_a_real_step_fails(config):
    import torch
    from transformers import AutoModelForCausalLM

    from inspector.architecture import build_config

    model = AutoModelForCausalLM.from_config(build_config(config))
    for tokens, fits in ((40, True), (41, False)):
        ids = torch.full((1, tokens), 7)
        if fits:
            model(input_ids=ids)
            assert finetune(config, method="full", seq_len=tokens).peak_allocated_bytes
            continue
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=ids)
        with pytest.raises(InspectorError, match="40 learned positions, too few for 41 tokens"):
            finetune(config, method="full", seq_len=tokens)


def test_generation_counts_the_answer_but_its_last_token():
    assert simulate_generate("gpt2", gpu=find_gpu("T4"), prompt_len=1000, max_new_tokens=25).fits
    with pytest.raises(InspectorError, match="1,024 learned positions, too few for 1,025 tokens"):
        simulate_generate("gpt2", gpu=find_gpu("T4"), prompt_len=1000, max_new_tokens=26)


def test_the_largest_length_stays_within_learned_positions():
    report = finetune_with_advice(GPT2 | {"n_positions": 300}, method="lora", seq_len=64, gpu="A100-80GB", solve=True)
    assert dict(report.plan.largest)["seq_len"] == 256
    assert generate_with_longest_prompt(
        "gpt2", gpu=find_gpu("T4"), prompt_len=256, max_new_tokens=5, solve=True
    ).largest_prompt


def test_computed_positions_go_on_and_that_is_said():
    long, short = (finetune(LLAMA, method="lora", seq_len=tokens).assumptions for tokens in (41, 40))
    assert "41 tokens are more than the 40 positions this model was made for" in long
    assert not any("positions" in line for line in short)


def test_modules_to_save_that_are_not_there():
    with pytest.raises(InspectorError, match="modules_to_save nowhere match nothing"):
        finetune(LLAMA, method="lora", seq_len=16, modules_to_save=("lm_head", "nowhere"))


def test_a_card_has_one_size():
    with pytest.raises(InspectorError, match="takes the place"):
        finetune(LLAMA, method="lora", seq_len=16, gpu="T4", vram="16GiB")


def test_what_is_data_is_said():
    mixture = {
        **LLAMA,
        "model_type": "mixtral",
        "architectures": ["MixtralForCausalLM"],
        "num_local_experts": 4,
        "num_key_value_heads": 4,
    }
    said = finetune(mixture, method="lora", seq_len=16, routing="worst").assumptions
    assert "which of its 4 experts a token goes to is data; the memory is the same for any" in said


def test_thousands_of_micro_batches_take_what_a_few_take():
    """And what all of them take when they are traced to the last: 20 here."""
    from inspector.simulate.allocator.timeline import replay
    from inspector.simulate.program.training import trace_finetune
    from inspector.simulate.setup.finetuning import resolve_setup

    many = finetune(LLAMA, method="lora", seq_len=16, grad_accum=60_000)
    report = finetune(LLAMA, method="lora", seq_len=16, grad_accum=20)
    assert any("of 20 accumulated micro-batches 16 are simulated" in line for line in report.assumptions)
    card = find_gpu("T4")
    whole = trace_finetune(
        LLAMA, resolve_setup(method="lora", seq_len=16, grad_accum=20).setup, card.capability, card.multiprocessors
    )
    line = replay(whole.events)
    for each in (many, report):
        assert (each.peak_allocated_bytes, each.peak_reserved_bytes) == (line.peak_allocated, line.peak_reserved)
        assert each.steady_allocated_bytes == line.stages[-1].end_allocated
