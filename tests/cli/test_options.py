"""Command line, Python API and engine say the same: no setting can be reached from one side alone."""

from __future__ import annotations

import json

import click
import pytest

import inspector
from inspector.cli.headed import Habitual
from inspector.cli.main import cli, run
from inspector.cli.options import typed
from inspector.errors import InspectorError
from inspector.explain.options import ExplainOptions
from inspector.lenses.compare import compare
from inspector.measure.options import MeasureOptions, spec_from
from inspector.simulate.setup.finetuning import resolve_setup
from inspector.simulate.setup.generation import GenerateSettings, generate_settings
from inspector.simulate.setup.options import (
    FinetuneOptions,
    FitOptions,
    GenerateOptions,
    GenerateSettingsOptions,
    TrainingOptions,
)
from inspector.simulate.setup.settings import FinetuneSettings
from inspector.simulate.setup.shorthands import SHORTHANDS
from inspector.simulate.setup.words import words_of
from inspector.skeleton.habits import HABITS, usual

FORMS = {
    "model", "file", "output", "as_json", "as_csv", "help", "trust_remote_code", "resize_vocab",
    "pad_to_multiple_of",
}  # fmt: skip
"""What only a command has: which model (a method has it already), and how the answer leaves the program."""
COMMANDS = {
    ("simulate", "finetune"): FinetuneOptions,
    ("simulate", "generate"): GenerateOptions,
    ("explain",): ExplainOptions,
    ("fit",): FitOptions,
    ("measure",): MeasureOptions,
}


def program():
    """The context a command is called in: without it, click would remember a help option that is not ours."""
    return click.Context(cli, **cli.context_settings)


def command(*names):
    found = cli
    for name in names:
        found = found.get_command(click.Context(found), name)
    return found


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_a_command_and_its_method_take_the_same(names):
    # A measurement is saved as a record: how its answer leaves the program.
    forms = FORMS | {"save"} if names == ("measure",) else FORMS
    options = {option.name for option in command(*names).params} - forms
    assert options == COMMANDS[names].__optional_keys__ | COMMANDS[names].__required_keys__


def test_every_setting_of_the_engine_can_be_said():
    settings = set(FinetuneSettings.__dataclass_fields__)
    assert TrainingOptions.__optional_keys__ - set(SHORTHANDS) == settings - {"gpu"}
    assert GenerateSettingsOptions.__optional_keys__ - set(SHORTHANDS) == set(GenerateSettings.__dataclass_fields__)


OTHERWISE = {
    "method": "lora", "scheme": "int8", "dtype": "float16", "compute_dtype": "float32", "r": "3", "alpha": "5",
    "dropout": "0.5", "target_modules": "q_proj,v_proj", "modules_to_save": "lm_head", "adapter_dtype": "auto",
    "peft_config": '{"peft_type": "IA3"}', "autocast": "bf16", "batch_size": "7", "seq_len": "9", "target_len": "8",
    "attention": "eager", "sdpa_backend": "math", "loss": "upcast", "optimizer": "sgd", "grad_clip": "0.5",
    "grad_accum": "2", "steps": "3", "gpu": "L4", "outputs": "next", "zero_grad": "after", "labels": "clone",
    "empty_cache_every": "4", "routing": "worst", "target_parameters": "experts.down_proj", "exclude_modules": "k_proj",
    "layers_to_transform": "0-2", "layers_pattern": "layers", "rank_pattern": "q_proj=2", "alpha_pattern": "q_proj=2",
    "trainable_token_indices": "5", "bias": "all", "objective": "orpo", "ref_model": "precomputed", "prompt_len": "5",
    "generation_max_length": "64", "generation_num_beams": "4",
    "optimizer_by": "trainer", "save": "adapter", "merge_on": "cpu", "save_total_limit": "3",
    "eval_batch": "4", "eval_batches": "3", "eval_gather": "argmax", "eval_accum": "2",
    "num_generations": "4", "steps_per_generation": "8", "rollouts": "server",
    "vllm_memory": "weights=2GiB", "vllm_gpu_memory_utilization": "0.5", "vllm_max_model_length": "2048",
    "reward_model": "llama-3.2-1b", "teacher": "llama-3.2-1b",
}  # fmt: skip
"""A value of each setting that is not the default; a switch is turned."""
BESIDE = {"double_quant": {"method": "qlora"}, "layers_pattern": {"layers_to_transform": "1"},
          "ref_model": {"objective": "dpo"}, "prompt_len": {"objective": "dpo"},
          **{key: {"objective": "grpo", "prompt_len": 8, "batch_size": 8, "loss": "trl"}
             for key in ("num_generations", "steps_per_generation", "rollouts", "reward_model")},
          **{key: {"objective": "grpo", "prompt_len": 8, "batch_size": 8, "rollouts": "colocated"}
             for key in ("vllm_memory", "vllm_gpu_memory_utilization", "vllm_max_model_length",
                         "vllm_enable_sleep_mode")},
          "merge_on": {"save": "merged"},
          **{key: {"save": "checkpoint"}
             for key in ("save_only_model", "save_total_limit", "load_best_model_at_end")},
          "teacher": {"objective": "gkd"},
          "sync_ref_model": {"objective": "dpo", "method": "full"},
          "logits_to_keep": {"objective": "dpo", "loss": "full"},
          **{key: {"eval_batch": 4, "eval_gather": "generated"}
             for key in ("generation_max_length", "generation_num_beams")},
          **{key: {"eval_batch": 4} for key in ("eval_batches", "eval_gather", "eval_accum")}}  # fmt: skip
"""What a setting says nothing without."""


@pytest.mark.parametrize("name", FinetuneSettings.__dataclass_fields__)
def test_what_is_typed_arrives(name):
    finetune, default = command("simulate", "finetune"), getattr(FinetuneSettings(), name)
    option = next(each for each in finetune.params if each.name == name)
    words = [option.opts[0], OTHERWISE[name]] if name in OTHERWISE else [(option.secondary_opts or option.opts)[0]]
    if default is False:
        words = [option.opts[0]]
    said = finetune.make_context("finetune", words, parent=program()).params
    extra = BESIDE.get(name, {})
    settings = resolve_setup(**{key: said[key] for key in FinetuneSettings.__dataclass_fields__} | extra).settings
    assert getattr(settings, name) != default


def test_a_method_is_its_command(tmp_path, capsys):
    tiny = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128,
        "max_position_embeddings": 4096, "dtype": "float16",
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(tiny))
    model = inspector.load(str(tmp_path))
    pairs = [
        (model.fit(gpu="T4", seq_len=64, dtype="half", load_in_4bit=True),
         ["fit", str(tmp_path), "--gpu", "T4", "--seq-len", "64", "--dtype", "half", "--4bit"]),
        (model.fit(gpu=["T4", "L4"], seq_len=64),
         ["fit", str(tmp_path), "--gpu", "T4", "--gpu", "L4", "--seq-len", "64"]),
        (model.finetune(method="lora", seq_len=64, attention="flash", gpu="L4", optimizer="adamw",
                        snapshot=tmp_path / "a"),
         ["simulate", "finetune", str(tmp_path), "--method", "lora", "--seq-len", "64", "--attn", "fa2", "--gpu", "L4",
          "--optimizer", "adamw", "--trace", str(tmp_path / "b")]),
        (model.generate(prompt_len=16, max_new_tokens=4, vram="2GiB", dtype="fp16"),
         ["simulate", "generate", str(tmp_path), "--prompt-len", "16", "--max-new-tokens", "4", "--vram", "2GiB",
          "--dtype", "fp16"]),
    ]  # fmt: skip
    for report, words in pairs:
        assert run([*words, "--json"]) in {0, 1}
        printed = json.loads(capsys.readouterr().out)
        assert report.to_dict().items() <= printed.items(), words
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


SAID_BY_HABIT = {("dtype", "dtype"), ("compute_dtype", "dtype"), ("attention", "attention"), ("optimizer", "optimizer")}


@pytest.mark.parametrize(("kind", "short"), [(kind, short) for kind, pairs in HABITS.items() for short in pairs])
def test_habits_are_understood_everywhere(kind, short):
    long = HABITS[kind][short]
    for name, each in FinetuneSettings.__dataclass_fields__.items():
        if (name, kind) in SAID_BY_HABIT:
            assert getattr(resolve_setup(**{name: short}).settings, name) == long, each
    if kind == "dtype":
        assert generate_settings(dtype=short).dtype == long
        assert resolve_setup({"dtype": short}).settings.dtype == long, "in a recipe"
        assert inspector.LoraSpec(adapter_dtype=short).adapter_dtype == long
        model = inspector.load("smollm2-135m")
        assert model.memory(scheme=short).to_dict() == model.memory(scheme=long).to_dict()
        (name,) = (scheme for scheme in ("bf16", "fp16", "fp32") if usual("dtype", scheme) == long)
        assert compare([model.skeleton], schemes=[short]).schemes == (name,)
        assert spec_from("m", {"scheme": short, "step": True}).scheme == name
    if kind == "optimizer":
        assert spec_from("m", {"bits": 16, "step": True, "optimizer": short}).step.optimizer == long
    for names in COMMANDS:
        for option in command(*names).params:
            if isinstance(option.type, Habitual) and option.type.kind == kind and long in option.type.choices:
                assert option.type.convert(short, option, None) == long
                assert [item.value for item in option.type.shell_complete(None, option, "")] == list(
                    option.type.choices
                )
                assert short not in option.type.choices


def test_torch_s_own_dtypes_are_words_too():
    import torch

    assert resolve_setup(dtype=torch.bfloat16, adapter_dtype=torch.float32).settings.dtype == "bfloat16"
    assert usual("dtype", torch.half) == "float16"
    assert words_of(FinetuneSettings)["dtype"] == ("auto", "float32", "float16", "bfloat16")


@pytest.mark.parametrize(
    ("said", "scheme", "dtype"),
    [
        ({"bits": 4}, "nf4", "auto"),
        ({"bits": "8"}, "int8", "auto"),
        ({"bits": 4, "scheme": "fp4"}, "fp4", "auto"),
        ({"load_in_4bit": True, "bits": 4}, "nf4", "auto"),
        ({"load_in_8bit": True}, "int8", "auto"),
        ({"bits": 16, "dtype": "half"}, "none", "float16"),
        ({"bits": 32}, "none", "float32"),
    ],
)
def test_bits_are_a_scheme_and_a_dtype(said, scheme, dtype):
    found = generate_settings(**said)
    assert (found.scheme, found.dtype) == (scheme, dtype)


@pytest.mark.parametrize(
    "said",
    [
        {"bits": 4, "scheme": "int8"},
        {"bits": 32, "dtype": "bfloat16"},
        {"bits": 16, "dtype": "fp32"},
        {"load_in_4bit": True, "load_in_8bit": True},
        {"load_in_8bit": True, "bits": 4},
    ],
)
def test_bits_that_contradict_are_refused(said):
    with pytest.raises(InspectorError, match="contradict"):
        generate_settings(**said)
    with pytest.raises(InspectorError, match="contradict"):
        resolve_setup(**said)


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(InspectorError, match="prompt_length") as caught:
        generate_settings(prompt_length=5)
    assert "prompt_len" in caught.value.hint
    with pytest.raises(InspectorError, match="optimiser"):
        spec_from("m", {"optimiser": "sgd"})


@pytest.mark.parametrize("names", COMMANDS, ids=" ".join)
def test_the_help_page(names, golden, capsys):
    """Under headings, the common ones first, nothing wider than the screen; old spellings work and are not shown."""
    assert run([*names, "--help"]) == 0
    page = capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= 80
    assert "--trace" not in page
    assert "--4bit" not in page
    golden(f"help/{'-'.join(names)}.txt", page)


def test_memory_knows_the_habit_too(capsys):
    printed = set()
    for words in (["--bits", "4"], ["--load-in-4bit"], ["--4bit"], ["--bits", "4", "--load-in-4bit"]):
        assert run(["memory", "smollm2-135m", *words]) == 0
        printed.add(capsys.readouterr().out)
    assert len(printed) == 1
    assert run(["memory", "smollm2-135m", "--load-in-4bit", "--bits", "8"]) == 2


def test_a_page_says_the_line_that_writes_it_again():
    """Short spellings are written out, and a config that was read is there as it was read."""
    finetune = command("simulate", "finetune")
    line = ["--peft-config", '{"peft_type": "IA3"}', "--attn", "fa2", "--4bit", "--no-advise", "--dtype", "half"]
    with finetune.make_context("finetune", line, parent=program()):
        assert typed() == (
            """finetune --peft-config '{"peft_type": "IA3"}' --load-in-4bit --dtype float16 """
            "--attn flash_attention_2 --no-advise"
        )
