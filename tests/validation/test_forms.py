"""Each form of record: every field that describes a run is simulated with its own value, or named."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from inspector.validation.forms import FORMS
from inspector.validation.runs import question, questions
from tests.validation.conftest import EXAMPLES, LOOPS, documented


def published(form):
    return json.loads((files("inspector") / "data" / "truth" / f"{form}.json").read_text(encoding="utf-8"))


def asked(record, form):
    return question(record, form, file="runs.json")


def test_every_form_has_an_example_and_a_table():
    assert list(EXAMPLES) == list(FORMS)
    assert all(documented(form) for form in FORMS)


@pytest.mark.parametrize("form", FORMS)
def test_every_field_of_the_published_records_is_documented(form):
    names = {name for record in published(form) for name in record}
    for part in ("train_config", "memory_bytes"):
        names |= {f"{part}.{name}" for record in published(form) for name in record.get(part, {})}
    everywhere = {"id", "source", "form", "status", "trust", "unspecified", "train_config", "memory_bytes"}
    assert names - set(documented(form)) <= everywhere


@pytest.mark.parametrize(("form", "name"), [(form, name) for form in FORMS for name in documented(form)])
def test_no_documented_field_is_passed_over(form, name, example):
    """A value that means nothing is never ignored: the field is named, unless it is only told of the run."""
    changed = asked(example(form, **{name: "no such thing 7"}), form)
    if documented(form)[name] or name == "experiment":
        assert not changed.skipped
        assert not changed.not_understood
        return
    if name == "seq_len_note" and form == "a100_sfttrainer":  # free text: where the lengths come from
        return
    said = f"{changed.skipped} {changed.not_understood} {changed.settings} {changed.model}"
    assert "such" in said or "differ" in said, said


@pytest.mark.parametrize("form", FORMS)
def test_the_published_records_are_understood_whole(form):
    assert [run.not_understood for run in questions(form) if run.not_understood] == []
    assert not any(run.wrong for run in questions(form))


@pytest.mark.parametrize("form", FORMS)
def test_an_unknown_field_is_named_and_the_run_compared(form, example):
    changed = asked(example(form, flux_capacitor=1.21), form)
    assert changed.not_understood == (("flux_capacitor", "1.21"),)
    assert not changed.skipped


@pytest.mark.parametrize("form", FORMS)
def test_a_field_within_an_object_is_named_with_it(form, example):
    part = {"l40s_peft_benchmark": "train_config", "a100_sfttrainer": "amp"}.get(form)
    if part is None:
        pytest.skip("no object but the versions, which are all read")
    assert asked(example(form, **{f"{part}.warp": 9}), form).not_understood == ((f"{part}.warp", "9"),)


LOOP_CHANGES = {
    "micro_batch": (3, {"batch_size": 3}),
    "seq_len": (48, {"seq_len": 48}),
    "grad_accum": (4, {"grad_accum": 4}),
    "r": (3, {"r": 3}),
    "lora_alpha": (5, {"alpha": 5}),
    "lora_dropout": (0.25, {"dropout": 0.25}),
    "target_modules": ("dense,query_key_value", {"target_modules": ["dense", "query_key_value"]}),
    "use_dora": (True, {"use_dora": True}),
    "use_rslora": (True, {"use_rslora": True}),
    "modules_to_save": (["embed_out"], {"modules_to_save": ["embed_out"]}),
    "gradient_checkpointing": (False, {"gradient_checkpointing": False}),
    "gc_note": ("use_reentrant=True", {"reentrant": True}),
    "attn": ("eager", {"attention": "eager", "sdpa_backend": ""}),
    "optimizer": ("bnb AdamW8bit", {"optimizer": "adamw_8bit"}),
    "loss": ("liger", {"loss": "liger"}),
    "max_grad_norm": (0.3, {"grad_clip": 0.3}),
    "alloc_conf": ("expandable_segments:True", {"expandable_segments": True}),
    "torch_dtype": ("fp32 weights", {"dtype": "float32"}),
    "versions": ({"transformers": "4.40.1"}, {"loss": "upcast"}),
    "quantization": ("bnb fp4, double quant", {"method": "qlora", "scheme": "fp4", "double_quant": True}),
    "method": ("full", {"method": "full"}),
}


@pytest.mark.parametrize("form", LOOPS)
@pytest.mark.parametrize("name", LOOP_CHANGES)
def test_a_loop_is_simulated_with_its_own_values(form, name, example):
    value, wanted = LOOP_CHANGES[name]
    before, after = asked(example(form), form), asked(example(form, **{name: value}), form)
    assert not after.skipped
    assert {key: after.settings[key] for key in wanted} == wanted
    if name != "gc_note" or form != "a100_sfttrainer":  # which is re-entrant anyway
        assert before.settings != after.settings


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        (
            "fp16 weights; LoRA fp32; no autocast/GradScaler",
            {"dtype": "float16", "adapter_dtype": "float32", "autocast": "none"},
        ),
        ("bfloat16", {"dtype": "bfloat16", "adapter_dtype": "float32"}),
        ("bf16; LoRA bf16; torch.autocast(bf16)", {"dtype": "bfloat16", "adapter_dtype": "auto", "autocast": "bf16"}),
        ("torch.float32; autocast fp16", {"dtype": "float32", "autocast": "fp16"}),
    ],
)  # fmt: skip
def test_dtypes_in_words(text, settings, example):
    found = asked(example("t4_transformers_peft_loop", torch_dtype=text), "t4_transformers_peft_loop").settings
    assert {name: found[name] for name in settings} == settings


@pytest.mark.parametrize(
    ("text", "scheme", "double"),
    [
        ("bnb nf4, double quant, bf16 compute", "nf4", True),
        ("bitsandbytes 4-bit NF4 (no double quant)", "nf4", False),
        ("LLM.int8()", "int8", False),
        ("bnb 8-bit", "int8", False),
        ("fp4 and double quantization", "fp4", True),
    ],
)
def test_quantization_in_words(text, scheme, double, example):
    found = asked(example("rtx4080_qlora", method="qlora", quantization=text), "rtx4080_qlora")
    assert (found.skipped, found.settings["scheme"], found.settings["double_quant"]) == ("", scheme, double)


@pytest.mark.parametrize("text", ["4-bit", "bnb 4-bit", "nf4, sprinkled", "int8 + double quant", "double quant"])
def test_quantization_that_could_be_anything_is_not_guessed(text, example):
    found = asked(example("rtx4080_qlora", method="qlora", quantization=text), "rtx4080_qlora")
    assert found.skipped == f'quantization "{text}" is not understood'


def test_a_version_that_is_no_text_is_named(example):
    found = asked(example("rtx4080_qlora", versions={"torch": 2.6, "peft": "0.19.1"}), "rtx4080_qlora")
    assert found.not_understood == (("versions.torch", "2.6"),)
    assert found.versions == {"peft": "0.19.1"}


def test_a_quantized_model_is_prepared_unless_it_says_not(example):
    form = "t4_transformers_peft_loop"
    quantized = {"method": "qlora", "quantization": "bnb nf4, double_quant=False, fp16 compute"}
    assert asked(example(form, **quantized), form).settings["prepare_kbit"]
    said = "fp16; no prepare_model_for_kbit_training"
    assert not asked(example(form, **quantized, torch_dtype=said), form).settings["prepare_kbit"]


L40S_CHANGES = {
    "train_config.batch_size": (7, {"batch_size": 7}),
    "train_config.dtype": ("float32", {"dtype": "float32"}),
    "train_config.max_seq_length": (100, {"seq_len": 100}),
    "train_config.use_gc": (True, {"gradient_checkpointing": True}),
    "train_config.grad_norm_clip": (0, {"grad_clip": 0}),
    "train_config.optimizer_type": ("SGD", {"optimizer": "sgd"}),
    "train_config.use_amp": (True, {"autocast": "fp16"}),
    "train_config.autocast_adapter_dtype": (False, {"adapter_dtype": "auto"}),
    "train_config.attn_implementation": ("eager", {"attention": "eager"}),
    "avg_tokens_per_sample": (104.95, {"seq_len": 113}),
    "code_era": ("B", {"empty_cache_every": 10}),
}


@pytest.mark.parametrize("name", L40S_CHANGES)
def test_the_benchmark_is_simulated_with_its_own_values(name, example):
    value, wanted = L40S_CHANGES[name]
    found = asked(example("l40s_peft_benchmark", **{name: value}), "l40s_peft_benchmark")
    assert not found.skipped
    assert {key: found.settings[key] for key in wanted} == wanted


def test_int4_is_what_bitsandbytes_does_unasked(example):
    found = asked(example("l40s_peft_benchmark", **{"train_config.dtype": "int4"}), "l40s_peft_benchmark").settings
    assert (found["method"], found["scheme"], found["compute_dtype"]) == ("qlora", "fp4", "float32")
    assert not found["prepare_kbit"]


@pytest.mark.parametrize(
    ("config", "plain"),
    [
        ({"r": 4, "lora_alpha": 8, "target_modules": ["dense"], "bias": "none", "init_lora_weights": "mica"}, True),
        ({"r": 4, "lora_alpha": 8, "target_modules": ["dense"], "rank_pattern": {"dense": 2}}, False),
        ({"r": 4, "lora_alpha": 8, "target_modules": ["dense"], "bias": "all"}, False),
        ({"r": 4, "lora_alpha": 8, "target_modules": r".*\.dense"}, False),
        ({"r": 4, "lora_alpha": 8, "target_modules": ["dense"], "other": {"layers_to_transform": [0]}}, False),
    ],
)  # fmt: skip
def test_a_lora_config_is_read_whole(config, plain, example):
    record = example("l40s_peft_benchmark", kind="LORA", peft_config={"peft_type": "LORA", **config})
    found = asked(record, "l40s_peft_benchmark").settings
    assert ("r" in found) == plain
    if not plain:
        given = {**config, **config.get("other", {})}
        assert {name: found["peft_config"][name] for name in given if name != "other"} == {
            name: value for name, value in given.items() if name != "other"
        }


@pytest.mark.parametrize("kind", [None, "FULL", "full-finetuning"])
def test_full_fine_tuning_has_no_config(kind, example):
    found = asked(example("l40s_peft_benchmark", kind=kind, peft_config=None), "l40s_peft_benchmark")
    assert not found.skipped
    assert (found.settings["method"], "adapter_dtype" in found.settings) == ("full", False)


def test_oft_is_asked_where_its_config_says_all_of_it(example):
    config = {"peft_type": "OFT", "target_modules": ["dense"]}
    form = "l40s_peft_benchmark"
    assert "no longer accepts" in asked(example(form, kind="OFT", peft_config={**config, "r": 8}), form).skipped
    sized = {**config, "other": {"oft_block_size": 32}}
    assert not asked(example(form, kind="OFT", peft_config=sized), form).skipped


INFERENCE_CHANGES = {
    "input_tokens": (5, {"prompt_len": 5}),
    "generated_tokens": (3, {"max_new_tokens": 3}),
    "batch": (2, {"batch_size": 2}),
    "quantization": ("bnb nf4 + double quant", {"scheme": "nf4", "double_quant": True, "dtype": "auto"}),
    "dtype": ("bf16-true", {"dtype": "bfloat16"}),
    "kv_dtype": ("static cache", {"cache": "static"}),
    "attn": ("eager", {"attention": "eager"}),
}


@pytest.mark.parametrize("name", INFERENCE_CHANGES)
def test_generation_is_simulated_with_its_own_values(name, example):
    value, wanted = INFERENCE_CHANGES[name]
    found = asked(example("inference_peaks", **{name: value}), "inference_peaks")
    assert not found.skipped
    assert {key: found.settings[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("form", "changes", "reason"),
    [
        ("t4_transformers_peft_loop", {"num_gpus": 2}, "a run on 2 cards is not simulated"),
        ("t4_transformers_peft_loop", {"quantization": "aqlm-2bit"}, "AQLM weights are not simulated"),
        ("t4_transformers_peft_loop", {"optimizer": "Lion9000"}, "the optimizer Lion9000 is not simulated"),
        ("t4_transformers_peft_loop", {"status": "OOM"}, "it ran out of memory: nothing was measured"),
        ("a100_sfttrainer", {"parallel": "fsdp1"}, "parallel fsdp1 is not simulated"),
        ("a100_sfttrainer", {"framework_config": "foak"}, "framework_config foak is not understood"),
        ("a100_sfttrainer", {"seq_len": None}, "the lengths were not published"),
        ("l40s_peft_benchmark", {"train_config.compile": True}, "torch.compile is not simulated"),
        ("l40s_peft_benchmark", {"train_config.optimizer_kwargs": {"momentum": 0.9}},
         "train_config.optimizer_kwargs.momentum is not simulated"),
        ("inference_peaks", {"tool": "litgpt generate"}, "LitGPT runs its own model code and cache, not transformers'"),
        ("inference_peaks", {"quantization": "AWQ-INT4"}, "AWQ-INT4 weights are not simulated"),
    ],
)  # fmt: skip
def test_what_cannot_be_simulated_is_left_out_and_says_why(form, changes, reason, example):
    assert asked(example(form, **changes), form).skipped == reason


def test_a_card_of_ones_own_on_the_page_that_is_not_believed(example):
    """What is known of one source is not held against the card."""
    assert not asked(example("inference_peaks", gpu="H20-96GB"), "inference_peaks").skipped


def test_a_quantized_mixture_is_asked_with_the_transformers_that_fuses_it(example):
    mixture = {"model": "mistralai/Mixtral-8x7B-Instruct-v0.1", "quantization": "bnb nf4", "target_modules": ["q_proj"]}
    older = asked(example("a100_sfttrainer", **mixture), "a100_sfttrainer")
    newer = asked(example("a100_sfttrainer", **mixture, versions={"transformers": "5.2.0"}), "a100_sfttrainer")
    assert "fuses" in older.skipped
    assert not newer.skipped


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("bytes", 1), ("MiB", 2**20), ("GiB", 2**30), ("MB", 10**6), ("GB", 10**9), ("MB (2^20 per script)", 2**20),
     ("GB=1e9, torch.cuda.max_memory_allocated (includes load)", 10**9)],
)  # fmt: skip
def test_units_are_exact(unit, factor, example):
    (figure,) = asked(example("inference_peaks", unit=unit, peak=12.5), "inference_peaks").figures
    assert figure.measured == int(12.5 * factor)


@pytest.mark.parametrize(
    ("metric", "figure"),
    [
        ("torch.cuda.max_memory_allocated over steady-state steps; reserved likewise", "peak"),
        ("torch.cuda.max_memory_allocated since before load, 3 steps", "run_peak"),
        ("torch.cuda.max_memory_reserved, load transient excluded", "reserved"),
        ("max_memory_reserved, whole run", "run_reserved"),
        ("nvidia-smi", "process"),
    ],
)
def test_the_metric_says_what_a_peak_is_compared_with(metric, figure, example):
    found = asked(example("t4_transformers_peft_loop", metric=metric), "t4_transformers_peft_loop")
    assert [item.of for item in found.figures] == ["forward", "backward", "optimizer", figure, "reserved"]


def test_a_metric_without_meaning_is_named_and_its_peak_not_compared(example):
    found = asked(example("rtx4080_qlora", metric="what the fan sounded like"), "rtx4080_qlora")
    assert found.not_understood == (("metric", '"what the fan sounded like"'),)
    assert "run_peak" not in {item.of for item in found.figures}


def test_a_run_before_the_tool_used_autocast(example):
    """Its records say autocast and an earlier page of its repository; both are true of different commits."""
    page = "github DaoyuanLi2816/can-i-finetune-this : benchmarks/results/x.json"
    form = "rtx4080_qlora"
    earlier = asked(example(form, source=page, versions={"torch": "2.6.0"}), form)
    assert (earlier.settings["autocast"], earlier.settings["use_cache"]) == ("none", True)
    assert asked(example(form, versions={"torch": "2.6.0"}), form).settings["autocast"] == "bf16"


ODD = (None, "", " ", "x" * 10_000, 0, -1, 0.5, 1e308, 10**400, True, [], [[]], [None], {}, {"a": {}}, "\x1b[2J", "NaN")


@pytest.mark.parametrize("form", FORMS)
def test_no_value_breaks_the_reader(form, example):
    """Whatever stands in a field: a question, its record left out with a reason of a line, never an error."""
    names = [*documented(form), "id", "source", "status", "trust", "unspecified", "versions", "amp", "train_config",
             "memory_bytes", "peft_config.other", "peft_config.r", "versions.transformers", "amp.bf16"]  # fmt: skip
    for name in names:
        if "." in name and name.partition(".")[0] not in EXAMPLES[form]:
            continue
        for value in ODD:
            found = asked(example(form, **{name: value}), form)
            assert len(found.skipped) < 300
            assert "\n" not in found.skipped


@pytest.mark.parametrize("form", FORMS)
def test_a_published_record_is_the_same_question_as_a_record_of_ones_own(form):
    for ours, record in zip(questions(form), published(form), strict=True):
        own = asked(record, form)
        assert (own.id, own.settings, own.figures, own.gpu) == (ours.id, ours.settings, ours.figures, ours.gpu)


QLORA = {"method": "qlora", "quantization": "bnb nf4"}


@pytest.mark.parametrize(
    ("transformers", "loading"),
    [
        ("4.49.0", (False, False)),
        ("4.50.0", (True, False)),
        ("5.0.0", (True, True)),
        ("5.3.1", (True, True)),
        ("5.4.0", (True, False)),
        ("main", (True, False)),
    ],
)
def test_quantized_weights_are_loaded_as_the_version_loads_them(transformers, loading, example):
    record = example("t4_transformers_peft_loop", **QLORA, versions={"transformers": transformers})
    found = asked(record, "t4_transformers_peft_loop").settings
    assert (found["warm_up"], found["load_threads"]) == loading


def test_versions_without_the_library_that_quantizes_are_not_a_run_s(example):
    """The probe of the set's tool writes null for what is not installed: another environment than that of the run."""
    versions = {"transformers": "5.17.0", "peft": "0.20.0", "bitsandbytes": None}
    record = example("t4_transformers_peft_loop", **QLORA, tool="fitcheck measure.py", versions=versions)
    found = asked(record, "t4_transformers_peft_loop")
    assert found.versions == {}
    assert (found.settings["load_threads"], found.settings["clear_cache"]) == (True, False)
    assert any("of another environment" in note for note in found.notes)
    # Where nobody says that it was looked for, null is as everywhere: not published.
    other = asked({**record, "tool": "mine"}, "t4_transformers_peft_loop")
    assert (other.versions["peft"], other.settings["clear_cache"]) == ("0.20.0", True)
