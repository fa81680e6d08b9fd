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
from inspector.simulate.repeated_layers.normal_form import ByLayers
from inspector.simulate.repeated_layers.rules import NoPatternError, Small, whole_events
from inspector.simulate.repeated_layers.smaller_models import TRIES, fewer_layers, names_a_layer
from inspector.simulate.repeated_layers.words import chosen, roles_of
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.simulate.setup.generation import GenerateSettings
from inspector.simulate.setup.recipes import recipe
from inspector.sources.bundled import bundled_config
from tests.simulate.conftest import events_of_a_moment

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
    "num_hidden_layers": 18,
}  # fmt: skip
HYBRID = {
    **LLAMA, "model_type": "qwen3_next", "architectures": ["Qwen3NextForCausalLM"], "num_hidden_layers": 48,
    "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 16,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16,
    "shared_expert_intermediate_size": 32,
}  # fmt: skip
MODELS = {"llama": LLAMA, "mixtral": MIXTRAL, "gpt2": GPT2, "deepseek": DEEPSEEK}
SETUPS = {
    "qlora": {"method": "qlora", "double_quant": True, "grad_clip": 1.0},
    "lora": {"method": "lora", "gradient_checkpointing": False, "optimizer": "sgd", "padding_mask": True},
    "full": {"method": "full", "optimizer": "adafactor", "grad_accum": 2, "outputs": "next", "steps": 3},
    "paged": {"method": "full", "optimizer": "paged_adamw_8bit", "zero_grad": "after", "loss": "shifted"},
}


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
        ("gpt2", "lora"),
        ("mixtral", "lora"),
        ("deepseek", "qlora"),
    ],
)
def test_a_few_layers_say_what_all_take(model, setup):
    few, whole = both(MODELS[model], **SETUPS[setup])
    assert_same(few, whole)


@settings(max_examples=3, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
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
@pytest.mark.parametrize("model", ["meta-llama/Llama-3.1-8B", "microsoft/phi-2"])
def test_real_models(model):
    config = bundled_config(model)
    few, whole = both(config if model.endswith("Llama-3.1-8B") else with_layers(config, LAYERS), "T4", seq_len=512)
    if model != "microsoft/phi-2":
        assert_same(few, whole)
    else:
        assert few is None or events_of_a_moment(few.events) == events_of_a_moment(whole.events)


def test_unlike_layers_come_first_and_are_traced_as_they_are():
    found = fewer_layers(DEEPSEEK)
    assert (found.short["num_hidden_layers"], found.long["num_hidden_layers"]) == (5, 6)
    assert found.roles == (-1, -2, -3, *[1] * 12, -16), "the first and the last of each sort are edges"
    assert fewer_layers(LLAMA).short_roles == (-1, 0, 0, -LAYERS)


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


@pytest.mark.parametrize(("name", "gpu"), [
    ("week7-lite", "T4"), ("week7-full", "L4"), ("sft-trainer", "T4"), ("peft-loop", "T4"),
])  # fmt: skip
def test_recipes(name, gpu):
    """Under autocast and with norms in float32 the first layer is recomputed unlike the rest: that takes one more."""
    options = {"dtype": "float16", "autocast": "fp16"} if gpu == "T4" and name == "sft-trainer" else {}
    assert_same(*both({**LLAMA, "tie_word_embeddings": True}, gpu, recipe(name).settings, batch_size=2, **options))


@pytest.mark.parametrize(("config", "seq_len", "attention"), [
    (GPT_OSS, 24, "eager"), (SLIDING, 48, "auto"), (GEMMA3, 48, "auto"),
], ids=lambda value: value["model_type"] if isinstance(value, dict) else value)  # fmt: skip
def test_layers_that_take_turns(config, seq_len, attention):
    """Also where the sorts differ in what they take: beyond the window, say."""
    assert_same(*both(config, method="lora", seq_len=seq_len, attention=attention))


def test_layers_of_other_modules_that_take_turns():
    """What grows with the number of layers grows with whole turns. A third step is like the second here as well."""
    assert_same(*both({**HYBRID, "num_hidden_layers": 32}, "L4", **{**SETUPS["paged"], "steps": 2}))


def test_generation_with_layers_that_take_turns():
    setup = GenerateSettings(prompt_len=40, max_new_tokens=12, dtype="bfloat16").setup
    few = folded._generated_from_few(GEMMA3, setup, (8, 0), 108)
    whole = trace_generate(GEMMA3, setup, (8, 0), 108)
    assert events_of_a_moment(few.events) == events_of_a_moment(whole.events)
    assert (few.layers, few.layer_bytes, few.last_step) == (whole.layers, whole.layer_bytes, whole.last_step)
    assert len(set(few.layers)) == 2


def test_every_sort_of_layer_is_traced_beside_every_other():
    merged, apart = fewer_layers(GEMMA3), fewer_layers(GEMMA3, TRIES[2])
    full = [layer for layer, kind in enumerate(merged.long["layer_types"]) if kind == "full_attention"]
    assert (len(merged.short_roles), len(merged.long_roles), full) == (5, 6, [2, 3, 5])
    assert apart.short == merged.short, "traced once"
    beside = set(zip(apart.long_roles, apart.long_roles[1:], strict=False))
    assert beside == set(zip(apart.roles, apart.roles[1:], strict=False))


def test_words_leave_out_loops_and_keep_what_is_side_by_side():
    kinds = [0, 0, 0, 1] * 12
    # Layers of one shape may go one by one, those of several by whole turns.
    for shapes, lengths in (([0] * 48, (8, 9)), (kinds, (12, 16))):
        short, long = chosen(roles_of(kinds, kinds), kinds, shapes, 2)
        assert (len(short), len(long)) == lengths
        assert set(short) < set(long)
        assert (long[0], long[-1]) == (0, 47)
    assert chosen(roles_of([0] * 4, [0] * 4), [0] * 4, [0] * 4, 4) is None


def test_of_layers_that_differ_one_small_model_is_traced_as_if_they_did_not(monkeypatch):
    traced = []
    monkeypatch.setattr(folded, "_unanswered", set())
    monkeypatch.setattr(folded, "trace_finetune", lambda *args: traced.append(args[0]) or trace_finetune(*args))
    setup = resolve_setup(method="lora", seq_len=48).setup
    assert folded._from_few(GEMMA3, setup, (7, 5), 40) is not None
    assert [config["num_hidden_layers"] for config in traced] == [5, 9]
    # What has no answer is not asked again, whatever the rank.
    assert folded._from_few(GEMMA3, resolve_setup(method="lora", seq_len=48, r=4).setup, (7, 5), 40) is not None
    assert [config["num_hidden_layers"] for config in traced] == [5, 9, 5, 9]


def test_models_whose_layers_differ_or_are_few_are_traced_whole():
    assert fewer_layers({**GEMMA3, "num_hidden_layers": 11}) is None
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
    for number in order(range(layers)):
        born = 2 * layers - 1 - number if order is reversed else layers + number
        events += [Alloc(born, 256, "temporaries", f"layers.{number}", "mm"), Free(number), Free(born)]
    return tuple(events)


def small(events, layers, whole):
    return Small(ByLayers(events, ("layers",)), (-1, *[0] * (layers - 2), -whole))


def whole_toy(short, long, sizes=(4, 5), whole=28):
    roles = (-1, *[0] * (whole - 2), -whole)
    return whole_events(small(short, sizes[0], whole), small(long, sizes[1], whole), roles)


def test_the_rules_of_a_toy():
    for order in (reversed, iter):
        made = whole_toy(toy(4, order=order), toy(5, order=order))
        assert events_of_a_moment(made) == events_of_a_moment(toy(28, order=order))
    assert whole_toy(toy(4), toy(5), whole=5) == toy(5), "what was traced is made again"


def test_what_grows_with_the_layers():
    def grown(layers):
        return (Mark("load", -1), Alloc(0, 512 * layers + 3, "temporaries", "", "empty"), Free(0))

    assert whole_toy(grown(4), grown(5)) == grown(28)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (toy(4), toy(5, size=lambda number: 512 * (number + 1))),
        (toy(4, size=lambda number: 512 * (1 + number % 2)), toy(5, size=lambda number: 512 * (1 + number % 2))),
        (toy(4), toy(5, order=iter)),
        (toy(4), toy(5)[:-1]),
        (toy(4), (*toy(5), Mark("optimizer", 0))),
    ],
)
def test_no_rules_where_there_are_none(short, long):
    with pytest.raises(NoPatternError):
        whole_toy(short, long)


def test_too_few_layers_do_not_say_what_a_free_depends_on():
    """With one layer between the edges, the next layer and the last one are the same."""

    def kept(layers, until):
        events = [Mark("forward", 0)]
        for number in range(layers):
            events.append(Alloc(number, 512, "saved activations", f"layers.{number}", "mm"))
            events += [Free(block) for block in range(number + 1) if until(block, layers) == number]
        return tuple(events)

    def last(_block, layers):
        return layers - 1

    def following(block, layers):
        return min(block + 1, layers - 1)

    for until in (last, following):
        with pytest.raises(NoPatternError):
            whole_toy(kept(3, until), kept(3, until), sizes=(3, 3))
        assert whole_toy(kept(4, until), kept(5, until)) == kept(28, until)
