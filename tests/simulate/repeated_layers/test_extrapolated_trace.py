"""Traces of a few layers say those of the whole model, event by event; where they cannot, the whole one is traced."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from inspector.config_json import with_layers
from inspector.errors import InspectorError
from inspector.gpus import find_gpu
from inspector.simulate.allocator.timeline import replay
from inspector.simulate.events import Alloc, Free, Mark
from inspector.simulate.program.decoding import trace_generate
from inspector.simulate.program.training import trace_finetune
from inspector.simulate.repeated_layers import extrapolated_trace as folded
from inspector.simulate.repeated_layers.pattern import repeated
from inspector.simulate.repeated_layers.smaller_models import _turns, fewer_layers, names_a_layer
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.simulate.setup.generation import GenerateSettings
from inspector.simulate.setup.recipes import recipe
from inspector.sources.bundled import bundled_config

LAYERS = 14
"""As few as the pattern needs where the first layer differs: two smaller models of six and seven, and more."""
LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 160,
    "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 320,
    "dtype": "bfloat16",
}  # fmt: skip
MIXTRAL = {
    **LLAMA, "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "num_local_experts": 4,
    "num_experts_per_tok": 2,
}  # fmt: skip
GPT2 = {
    "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 64, "n_layer": LAYERS, "n_head": 4,
    "vocab_size": 320, "dtype": "float32",
}  # fmt: skip
DEEPSEEK = {
    **LLAMA, "model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"], "num_hidden_layers": 16,
    "first_k_dense_replace": 2, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1,
    "moe_intermediate_size": 64, "q_lora_rank": 32, "kv_lora_rank": 32, "qk_rope_head_dim": 16, "qk_nope_head_dim": 16,
    "v_head_dim": 16, "num_key_value_heads": 4,
}  # fmt: skip
SLIDING = {
    **LLAMA, "model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"], "head_dim": 16, "sliding_window": 32,
}  # fmt: skip
GPT_OSS = {
    **LLAMA, "model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"], "head_dim": 16, "num_local_experts": 4,
    "num_hidden_layers": 16, "sliding_window": 32,
}  # fmt: skip
GEMMA3 = {
    **LLAMA, "model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"], "head_dim": 16, "sliding_window": 32,
    "num_hidden_layers": 24,
}  # fmt: skip
MODELS = {"llama": LLAMA, "mixtral": MIXTRAL, "gpt2": GPT2, "deepseek": DEEPSEEK}
SETUPS = {
    "qlora": {"method": "qlora", "double_quant": True, "grad_clip": 1.0},
    "lora": {"method": "lora", "gradient_checkpointing": False, "optimizer": "sgd", "padding_mask": True},
    "full": {"method": "full", "optimizer": "adafactor", "grad_accum": 2, "outputs": "next", "steps": 3},
    "paged": {"method": "full", "optimizer": "paged_adamw_8bit", "zero_grad": "after", "loss": "shifted"},
}


def events_of_a_moment(events):
    """The events, with frees that follow one another sorted: their order is CPython's and changes no figure."""
    out, frees = [], []
    for event in events:
        if isinstance(event, Free):
            frees.append(event.block)
            continue
        out.extend([*sorted(frees), event])
        frees = []
    return out + sorted(frees)


def both(config, gpu="A100-80GB", base=None, **options):
    """What a few layers say, and what all say; nothing for both where a few say nothing, as that is never wrong."""
    card, setup = find_gpu(gpu), resolve_setup(base, **{"seq_len": 48, **options}).setup
    few = folded._from_few(config, setup, card.capability, card.multiprocessors)
    return few, few and trace_finetune(config, setup, card.capability, card.multiprocessors)


def assert_same(few, whole):
    assert few is not None, "it was to be folded"
    assert events_of_a_moment(few.events) == events_of_a_moment(whole.events)
    assert (few.paged_bytes, few.notes) == (whole.paged_bytes, whole.notes)
    one, other = replay(few.events), replay(whole.events)
    assert one.stages == other.stages
    assert one.alive(few.events) == other.alive(whole.events)


@pytest.mark.parametrize(
    ("model", "setup"),
    [
        *(("llama", setup) for setup in SETUPS),
        ("gpt2", "full"),
        ("gpt2", "lora"),
        ("mixtral", "qlora"),
        ("mixtral", "lora"),
        ("deepseek", "qlora"),
    ],
)
def test_a_few_layers_say_what_all_take(model, setup):
    few, whole = both(MODELS[model], **SETUPS[setup])
    if few is None:  # where the pattern is not made again to the last event, there must be none, and no wrong one
        assert model in {"mixtral", "deepseek"}
        return
    assert_same(few, whole)


@settings(max_examples=8, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    options=st.fixed_dictionaries(
        {
            "method": st.sampled_from(["qlora", "lora", "full"]),
            "batch_size": st.integers(1, 3),
            "seq_len": st.integers(16, 300),
            "gradient_checkpointing": st.booleans(),
            "reentrant": st.booleans(),
            "attention": st.sampled_from(["sdpa", "eager"]),
            "loss": st.sampled_from(["full", "chunked", "liger"]),
            "outputs": st.sampled_from(["loss", "step", "next"]),
        }
    ),
    card=st.sampled_from(["T4", "L4", "H100-SXM"]),
)
def test_whatever_the_settings(options, card):
    few, whole = both(LLAMA, card, **options)
    assert_same(few, whole)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["meta-llama/Llama-3.1-8B", "mistralai/Mixtral-8x7B-v0.1", "microsoft/phi-2"])
def test_real_models(model):
    config = bundled_config(model)
    few, whole = both(config if model.endswith("Llama-3.1-8B") else with_layers(config, LAYERS), "T4", seq_len=512)
    if model != "microsoft/phi-2":
        assert_same(few, whole)
    else:
        assert few is None or events_of_a_moment(few.events) == events_of_a_moment(whole.events)


def test_unlike_layers_come_first_and_are_traced_as_they_are():
    found = fewer_layers(DEEPSEEK)
    assert (found.unlike, found.short["num_hidden_layers"], found.long["num_hidden_layers"]) == (2, 6, 7)
    assert found.extra == 9
    assert fewer_layers(LLAMA).unlike == 0


def test_under_autocast():
    assert_same(*both(LLAMA, "L4", method="lora", autocast="bf16", dropout=0.1, outputs_fp32=True))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cache": "static", "batch_size": 2},
        {"cache": "quantized", "scheme": "nf4"},
        {"attention": "eager", "max_new_tokens": 3},
    ],
    ids=str,
)
def test_generation_with_a_few_layers(options):
    setup = GenerateSettings(**{"prompt_len": 40, "max_new_tokens": 12, "dtype": "bfloat16", **options}).setup
    few = folded._generated_from_few(LLAMA, setup, (8, 0), 108)
    whole = trace_generate(LLAMA, setup, (8, 0), 108)
    assert few is not None
    assert events_of_a_moment(few.events) == events_of_a_moment(whole.events)
    assert (few.layers, few.cache_bytes, few.last_step) == (whole.layers, whole.cache_bytes, whole.last_step)


@pytest.mark.parametrize("gpu", ["T4", "L4"])
@pytest.mark.parametrize("name", ["week7-lite", "week7-full", "sft-trainer", "peft-loop"])
def test_recipes(name, gpu):
    """Under autocast and with norms in float32 the first layer is recomputed unlike the rest: that takes one more."""
    options = {"dtype": "float16", "autocast": "fp16"} if gpu == "T4" and name == "sft-trainer" else {}
    assert_same(*both({**LLAMA, "tie_word_embeddings": True}, gpu, recipe(name).settings, batch_size=2, **options))


@pytest.mark.parametrize("attention", ["auto", "eager"])
@pytest.mark.parametrize("seq_len", [24, 48])
@pytest.mark.parametrize("config", [GPT_OSS, SLIDING, GEMMA3], ids=lambda config: config["model_type"])
def test_layers_that_take_turns(config, seq_len, attention):
    """Where sorts of layers differ in what they take (beyond the window, say), nothing is folded, and nothing wrong."""
    few, whole = both(config, method="lora", seq_len=seq_len, attention=attention)
    if config is GPT_OSS:
        assert few is not None
    if few is not None:
        assert_same(few, whole)


def test_every_sort_of_layer_is_traced():
    found = fewer_layers(GEMMA3)
    assert (found.unlike, found.short["num_hidden_layers"], found.long["num_hidden_layers"]) == (0, 6, 7)
    assert _turns([0, 1, 1, 2, 1, 1, 2, 1, 1]) == (1, 3)
    assert fewer_layers({**GEMMA3, "num_hidden_layers": 25}).short["num_hidden_layers"] == 7, "ends as the whole"
    assert fewer_layers({**GEMMA3, "num_hidden_layers": 26}).long["num_hidden_layers"] == 9


def test_of_layers_that_take_turns_and_differ_one_small_model_is_traced(monkeypatch):
    traced = []
    monkeypatch.setattr(folded, "_unanswered", set())
    monkeypatch.setattr(folded, "trace_finetune", lambda *args: traced.append(args[0]) or trace_finetune(*args))
    setup = resolve_setup(method="lora", seq_len=48).setup
    assert folded._from_few(GEMMA3, setup, (7, 5), 40) is None
    assert [config["num_hidden_layers"] for config in traced] == [6]
    # What has no answer is not asked again, whatever the rank.
    assert folded._from_few(GEMMA3, resolve_setup(method="lora", seq_len=48, r=4).setup, (7, 5), 40) is None
    assert len(traced) == 1


def test_layers_of_other_modules_that_take_turns_are_not_tried():
    hybrid = {
        **LLAMA, "model_type": "qwen3_next", "architectures": ["Qwen3NextForCausalLM"], "num_hidden_layers": 48,
        "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 16,
        "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
        "shared_expert_intermediate_size": 32,
    }  # fmt: skip
    assert fewer_layers(hybrid) is None
    assert fewer_layers({**hybrid, "layer_types": ["full_attention"] * 48}) is not None


def test_models_whose_layers_differ_or_are_few_are_traced_whole():
    assert fewer_layers({**GEMMA3, "num_hidden_layers": 15}) is None
    assert fewer_layers({**LLAMA, "num_hidden_layers": 8}) is None
    assert fewer_layers({"model_type": "nothing"}) is None
    assert fewer_layers({**LLAMA, "num_hidden_layers": "many"}) is None


def test_a_choice_of_single_layers_is_not_folded():
    assert names_a_layer(("model.layers.3.self_attn.q_proj",))
    assert names_a_layer((r".*\.[02468]\..*q_proj",))
    assert not names_a_layer(("q_proj", "fc1", "w2", "all-linear"))
    card = find_gpu("T4")
    setup = resolve_setup(method="lora", target_modules=("layers.13.self_attn.q_proj",), seq_len=32).setup
    events = folded.finetune_events(LLAMA, setup, card.capability, card.multiprocessors).events
    adapters = {event.module for event in events if isinstance(event, Alloc) and "lora_" in event.module}
    assert adapters
    assert all(".layers.13." in module for module in adapters)


def test_what_is_wrong_with_the_whole_model_is_said_of_it():
    setup = resolve_setup(method="lora", target_modules=("nowhere",), seq_len=32).setup
    with pytest.raises(InspectorError, match="match nothing"):
        folded.finetune_events(LLAMA, setup, (8, 0), 108)


def toy(layers, size=lambda _: 512, order=reversed):
    """Each layer keeps a block in the forward and gives it back in the backward."""
    events = [Mark("forward", 0)]
    events += [Alloc(number, size(number), "saved activations", f"layers.{number}", "mm") for number in range(layers)]
    events.append(Mark("backward", 0))
    events += [Free(number) for number in order(range(layers))]
    return tuple(events)


def test_the_pattern_of_a_toy():
    assert repeated(toy(7), toy(8), ("layers",), 20) == toy(28)
    assert repeated(toy(7, order=iter), toy(8, order=iter), ("layers",), 20) == toy(28, order=iter)


def test_no_pattern_where_there_is_none():
    assert repeated(toy(7), toy(7), ("layers",), 20) == toy(7), "nothing to repeat"
    assert repeated(toy(7, size=lambda number: 512 * (number + 1)), toy(8), ("layers",), 20) is None
    odd = {"size": lambda number: 512 * (1 + number % 2)}
    assert repeated(toy(7, **odd), toy(8, **odd), ("layers",), 20) is None
    assert repeated(toy(2), toy(3), ("layers",), 20) is None, "too few copies"
    assert repeated(toy(8), toy(7), ("layers",), 20) is None
